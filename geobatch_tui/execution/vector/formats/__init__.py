"""What OGR misses or misreads in each format, found in the file itself."""
