"""From a source layer to the batches of a chunk, by the quickest way that its format has."""
