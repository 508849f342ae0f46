"""Encodes the pixels of a tile to its bytes in a TIFF, and proves that they decode to the same."""
