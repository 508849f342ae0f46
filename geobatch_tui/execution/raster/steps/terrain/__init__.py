"""Steps on heights: shades, slopes, directions and roughness, as gdaldem has them."""
