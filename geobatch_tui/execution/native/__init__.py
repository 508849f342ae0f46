"""Loops compiled by numba, kept as machine code, and linked without the compiler."""
