"""Stores as a plan meets them: what they list, how it waits for them, and what a run will ask of
them."""
