"""Writes objects: files, or pieces of them, in parts that survive the process, and documents that
tell of them; all whole or absent."""
