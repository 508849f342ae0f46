"""Bytes to and from the disk: writes that reach it or raise, part files, syncs, checksums,
digests."""
