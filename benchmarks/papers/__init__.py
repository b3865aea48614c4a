"""Published results, redone: `python -m benchmarks.papers [NAME ...]`. Each file is one paper, on public names alone."""
