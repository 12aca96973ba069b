"""Figures of this machine: each benchmark is a function in a bench_*.py, run by `make bench`. See RESULTS.md."""
