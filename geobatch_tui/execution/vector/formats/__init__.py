"""The formats: sources behind one protocol, a module or a room each; and what outputs hold."""
