"""Takes the segments of an item, and gives its part file, checked."""
