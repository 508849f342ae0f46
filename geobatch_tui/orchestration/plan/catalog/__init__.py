"""STAC catalogues: the items of a file or a search as inputs, with their assets and facts."""
