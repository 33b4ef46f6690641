"""Benchmarks: `python -m bench.NAME` prints a Markdown table. `docs/performance.md` has results."""
