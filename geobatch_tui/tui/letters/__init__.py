"""Dead letters as a list, a dossier and a retry; knows no Textual."""
