"""Shapefiles: encoding, row counts and values of their tables, and archives that are written."""
