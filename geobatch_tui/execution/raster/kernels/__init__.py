"""The compiled loops over pixels, and their signatures: arrays in, arrays out."""
