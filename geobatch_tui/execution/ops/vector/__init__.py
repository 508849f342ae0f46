"""Operations on features: how each is probed, run and assembled."""
