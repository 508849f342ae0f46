"""Compiled loops over images: in another size, and one blended with another."""
