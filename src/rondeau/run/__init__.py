"""Files: what a training leaves behind, written atomically and checked when read."""
