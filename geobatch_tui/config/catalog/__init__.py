"""Catalogues in a job file: what names a STAC collection of items, or a search of one."""
