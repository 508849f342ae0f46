"""Band algebra: expressions become programs on registers of pixels, which are run tile by tile."""
