"""From a source to the pixels of a window of the output grid, as gdalwarp would make them of the
whole."""
