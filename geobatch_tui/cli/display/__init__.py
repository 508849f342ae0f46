"""Prints runs on the command line: progress, results and figures, on its two streams."""
