"""Parts that screens share: dialogs, lines, lists, help, palette, messages."""
