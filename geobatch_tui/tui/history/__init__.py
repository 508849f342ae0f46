"""Takes earlier runs and notes to them; gives the list of the history and what it tells."""
