"""Loops that write streams of DEFLATE."""
