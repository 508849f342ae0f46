"""Assembles encoded tiles to a TIFF or COG, with the same bytes in whatever order they came."""
