"""What a source is on disk: its files, and what identifies them."""
