"""Steps that read a second raster beside what comes in, and how it is planned and read."""
