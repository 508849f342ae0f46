"""From the inputs of a job to items and chunks with fingerprints, and what the machine has for
them."""
