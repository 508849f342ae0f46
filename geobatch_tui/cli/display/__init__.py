"""What the command line prints of a run: figures, progress, results, and the two streams that it
prints to."""
