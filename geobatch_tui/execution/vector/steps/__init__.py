"""Takes the features of a batch through the steps of a chain, each planned once for an item, and
gives those that the last step makes."""
