"""Chains of steps in jobs: which steps there are, keys of them, and pipelines in GDAL's words."""
