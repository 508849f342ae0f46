"""Parameters of the steps of chains of rasters, by kind."""
