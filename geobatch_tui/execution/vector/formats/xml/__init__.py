"""KML and GML: the elements of features, and texts that OGR reads as other values."""
