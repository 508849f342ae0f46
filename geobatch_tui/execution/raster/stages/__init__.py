"""Takes rasters within a chain that are stored before what is behind them is computed, and gives
the rest of the chain a file to read."""
