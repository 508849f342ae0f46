"""Takes a source raster to its published output: probed once, computed chunk by chunk, assembled
and verified."""
