"""A ledger read from anywhere: rows, counts, columns and audits as plain values."""
