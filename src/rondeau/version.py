"""The version, in a place of its own, so that every room can say it without importing a model."""

__version__ = "0.1.0"
