"""Published results, redone: `python -m benchmarks.papers [NAME ...]`. Each file is a paper, on public names alone."""
