"""Plots beside RESULTS.md: `python -m bench.plots` draws them anew."""
