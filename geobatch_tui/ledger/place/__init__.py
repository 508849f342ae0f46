"""Where the state of a run lies, whose it is, who holds it, and the database in it."""
