"""Takes a source layer, and gives the batches of a chunk, by the quickest way that its format
has."""
