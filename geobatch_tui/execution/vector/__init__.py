"""From a source layer to a published file: probed once, computed chunk by chunk, assembled, read
back."""
