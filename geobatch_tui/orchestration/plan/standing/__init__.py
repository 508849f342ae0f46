"""Outputs that are there before a run: in a directory or in a store, the ledger's or unknown."""
