"""Steps that change the grid of a raster: what is left of it, and how large it is."""
