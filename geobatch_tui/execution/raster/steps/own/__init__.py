"""Functions of the user as steps: what they declare, how they are called, how they are tried."""
