"""From a path to an opened dataset, its blocks and metadata, after the file was looked at."""
