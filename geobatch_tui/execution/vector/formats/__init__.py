"""Takes a driver of OGR, and gives its format: what OGR misses or misreads, behind one protocol."""
