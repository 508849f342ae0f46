"""From the segments of an item to its part file, checked."""
