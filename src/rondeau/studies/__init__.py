"""Experiments that train several models and lay them side by side."""
