"""Chooses the output grid from a source's georeference, and maps coordinates between the two."""
