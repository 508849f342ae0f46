"""The state directory of a run: its place, its owner, its lock, and files that survive a crash."""
