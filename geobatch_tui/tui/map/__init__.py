"""The map of chunks: widgets that paint it and what stands around it."""
