"""A run, from its first line of log to its last: plan phase, chunks, assembly, end."""
