"""Bytes to and from the disk: whole writes, part files, syncs, checksums and digests."""
