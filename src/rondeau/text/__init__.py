"""Symbols: files become documents, documents become splits, text becomes ids.

This room knows no vectors: no torch here.
"""
