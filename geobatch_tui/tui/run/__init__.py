"""A run as plain values, read from its ledger and steered by commands; knows no Textual."""
