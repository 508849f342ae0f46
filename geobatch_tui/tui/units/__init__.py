"""Takes the figures of all chunks of a run; gives them as tables to sort and filter, and as time
lines of the workers."""
