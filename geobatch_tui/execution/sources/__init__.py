"""The files of a source on disk, and their identity."""
