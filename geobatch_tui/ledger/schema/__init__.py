"""The database of a ledger: its file, its statements, and the plain values that go in and come
out."""
