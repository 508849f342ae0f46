"""What all of the console is made with: text of fixed width, glyphs, keys, themes, filters, the
terminal."""
