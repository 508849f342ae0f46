"""Shapefiles: encoding, row counts and values of their tables, and the archives that are
written."""
