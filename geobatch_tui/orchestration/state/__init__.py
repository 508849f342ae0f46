"""What a run holds on disk and shows from outside: session, view, letters, outputs."""
