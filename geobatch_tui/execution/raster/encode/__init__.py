"""From pixels of a tile to its bytes in a TIFF, and proof that they decode to what went in."""
