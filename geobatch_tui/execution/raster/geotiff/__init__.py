"""From encoded tiles to a TIFF or COG whose bytes do not depend on the order in which they came."""
