"""From the pixels of a chunk to its encoded tiles at full resolution and in the overviews."""
