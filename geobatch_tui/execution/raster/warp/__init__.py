"""Computes the pixels of a window of the output grid from a source, as gdalwarp computes them for
the whole grid."""
