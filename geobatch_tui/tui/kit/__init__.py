"""Text of fixed width, glyphs, keys, themes, filters, dialogs and the terminal, for all rooms of
the console."""
