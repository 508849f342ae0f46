"""Compiled loops over pixels, from arrays to arrays, and their signatures."""
