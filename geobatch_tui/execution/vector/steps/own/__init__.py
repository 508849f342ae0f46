"""Functions of the user on features: what they declare, what they are given, what becomes of their
answers, and how they are tried."""
