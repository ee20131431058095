"""Use: from a prefix to more text, one character at a time."""
