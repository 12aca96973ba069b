"""Padmé: lengths that leak little and cost little. Spec: spec/sealing.md, 3."""

from __future__ import annotations

from typing import Final

__all__ = ["MIN_PADDED_BYTES", "padded_length"]

# Below this, the relative steps of Padmé tell short letters apart.
MIN_PADDED_BYTES: Final = 1024


def padded_length(length: int) -> int:
    """The smallest padded length that holds `length` bytes: at least 1 KiB, at most 6.2 % more above that.

    Only the top ⌊log2 ⌊log2 L⌋⌋ + 2 bits of a length may differ from zero, so lengths fall into few classes.
    """
    if length <= MIN_PADDED_BYTES:
        return MIN_PADDED_BYTES
    exponent = length.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    mask = (1 << free_bits) - 1
    return (length + mask) & ~mask
