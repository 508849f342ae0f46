"""From a source's georeference to the output grid, and coordinates between the two."""
