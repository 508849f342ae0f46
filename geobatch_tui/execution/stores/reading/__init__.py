"""Reads objects: heads once a process, the blocks of a chunk, and of those behind it, by a few
requests that run ahead."""
