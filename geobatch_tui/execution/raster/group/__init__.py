"""Items that are made of many files: a mosaic, or a stack."""
