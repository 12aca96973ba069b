"""`python -m bench.plots`: measure what is plotted and draw it as SVG into this folder."""

from __future__ import annotations

from pathlib import Path

from bench.__main__ import machine_line
from bench.bench_vault import submit_seconds

__all__ = ["cost_per_letter"]

_FOLDER = Path(__file__).parent


def cost_per_letter() -> None:
    """Time to submit a letter, by the number of letters stored."""
    from matplotlib.figure import Figure

    seconds = submit_seconds()
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(list(seconds), [value * 1000 for value in seconds.values()], marker="o")
    axes.set(xlabel="letters stored", ylabel="ms to submit one letter of 4 KiB (median)", ylim=(0, None))
    axes.set_title(machine_line(), fontsize=6)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(_FOLDER / "cost_per_letter.svg", metadata={"Date": None})
    for stored, value in seconds.items():
        print(f"{stored:>9,} stored: {value * 1000:.2f} ms")


if __name__ == "__main__":
    cost_per_letter()
