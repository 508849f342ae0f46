"""The ledger's single writer: updates in, rows committed in groups, files published under their
final names."""
