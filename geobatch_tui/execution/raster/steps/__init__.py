"""Steps of a chain: each takes windows of the raster before it, and gives windows of its own."""
