"""Steps whose pixels come from others around them, or from those under them."""
