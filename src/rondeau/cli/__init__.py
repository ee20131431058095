"""The terminal's door: it parses, calls one library function, and renders.

Results go to standard output (one JSON document with --json), progress and notes to standard error.
"""

from __future__ import annotations

from rondeau.cli.app import main

__all__ = ["main"]
