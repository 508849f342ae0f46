"""Compiled loops over images: in another size, blended with another, and under an outline."""
