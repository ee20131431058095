"""Insight: what the gates and the gradients of a model do on a text."""
