"""The log of a run as entries, an index and a selection; knows no Textual."""
