"""OGR as it is used here: which drivers, which names, which streams."""
