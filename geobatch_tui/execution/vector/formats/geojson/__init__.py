"""GeoJSON as a collection or a text sequence: its records, and what OGR leaves out of them."""
