"""Vectors: cells, how they are unrolled, how they are stacked, and the model over ids."""
