"""Takes what a ledger knows of a run in time; gives the states of its chunks at any moment."""
