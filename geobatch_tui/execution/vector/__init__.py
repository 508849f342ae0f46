"""Vector items: a source layer is probed once, computed chunk by chunk, assembled into a file, and
read back."""
