"""One self-contained page from a run: `data` gathers, `curves` draws, `page` writes."""
