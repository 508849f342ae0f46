"""Loops over pixels that look at those around them."""
