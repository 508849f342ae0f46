"""What PROJ knows of two CRSs: coordinate operations, and the grids of datum shifts."""
