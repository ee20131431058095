"""Numbers: what a model costs on a text, each target counted once."""
