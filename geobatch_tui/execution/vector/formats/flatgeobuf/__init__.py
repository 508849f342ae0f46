"""FlatGeobuf: its index, and the features behind one that OGR cannot read."""
