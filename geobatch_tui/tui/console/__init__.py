"""The app: it opens on a run or without one, follows it, and steers it."""
