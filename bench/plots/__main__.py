"""`python -m bench.plots`: measure what is plotted and draw it as SVG into this folder."""

from __future__ import annotations

from pathlib import Path

from bench.__main__ import machine_line
from bench.bench_gossip import country
from bench.bench_vault import submit_seconds

__all__ = ["cost_per_letter", "gossip"]

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


def gossip() -> None:
    """How a change and a revocation reach 3,000 simulated nodes."""
    from matplotlib.figure import Figure

    spreads = country()
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, spread in (("changed mailbox", spreads.change), ("revocation", spreads.revocation)):
        # A point for each 1 % draws the same line as one for each node, in a file a tenth as large.
        reached = range(0, spreads.nodes, max(1, spreads.nodes // 100))
        share = [100 * (number + 1) / spreads.nodes for number in (*reached, spreads.nodes - 1)]
        label = f"{name}: {spread.rounds} rounds, {spread.bytes / spreads.nodes:,.0f} bytes a node"
        axes.step(
            [spread.reached_s[number] for number in (*reached, spreads.nodes - 1)], share, where="post", label=label
        )
    axes.set(xlabel="seconds after the change", ylabel="% of nodes that have it", ylim=(0, 101), xlim=(0, None))
    links = f"{spreads.nodes:,} simulated nodes, {spreads.links:,} links, 5 to 80 ms one way (bench/gossip.py)"
    axes.set_title(links, fontsize=8)
    axes.legend(fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(_FOLDER / "gossip_3000.svg", metadata={"Date": None})
    for name, spread in (("change", spreads.change), ("revocation", spreads.revocation)):
        print(f"{name}: {spread.rounds} rounds, {spread.reached_s[-1]:.2f} s, {spread.bytes:,} bytes")


if __name__ == "__main__":
    cost_per_letter()
    gossip()
