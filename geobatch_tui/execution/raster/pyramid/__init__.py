"""Makes of the pixels of a chunk its encoded tiles, at full resolution and in the overviews."""
