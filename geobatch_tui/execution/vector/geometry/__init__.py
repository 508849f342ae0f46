"""Geometries: transformed, cut, repaired, and what of them cannot be."""
