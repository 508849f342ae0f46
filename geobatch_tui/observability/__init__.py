"""Log lines, figures and texts for people and machines, with secrets and control characters
taken out."""
