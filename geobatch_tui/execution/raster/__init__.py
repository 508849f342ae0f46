"""From a source raster to a published one: probed once, computed chunk by chunk, assembled,
verified."""
