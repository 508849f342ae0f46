"""Opens a source after looking at its bytes, and reads its blocks and metadata."""
