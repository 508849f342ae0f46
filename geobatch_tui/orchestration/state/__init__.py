"""The state of a run on disk, and views of it from outside: session, view, letters, outputs."""
