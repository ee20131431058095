"""Insight: what gradients, gates and states do inside a model while it reads a text."""
