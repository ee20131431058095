"""Insight: what happens inside a trained model while it reads a text, in numbers."""
