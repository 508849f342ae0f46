"""Operations on rasters: how each is probed, run and assembled."""
