"""Prints runs on the command line: their progress and results, on its two streams."""
