"""Types and values of attributes in each output format, and ids of features."""
