"""A chunk's finished features on disk until their item is assembled."""
