"""Looks up CRSs, coordinate operations and grids of datum shifts in PROJ, each once a process."""
