"""Writes padding.json: lengths and what they are padded to."""

from __future__ import annotations

from typing import Any

from spec.vectors.common import case, write

SPEC = "sealing.md, 3"

# Worked out by hand from the definition, not by the program.
GOOD = [
    ("nothing", 0, 1024, "the minimum"),
    ("one_byte", 1, 1024, "the minimum"),
    ("at_minimum", 1024, 1024, "filled"),
    ("above_minimum", 1025, 1088, "e = 10, s = 4: multiples of 64"),
    ("top_of_octave", 2047, 2048, "rounds up into the next octave"),
    ("octave", 2048, 2048, "a power of two stays"),
    ("above_octave", 2049, 2176, "e = 11, s = 4: multiples of 128"),
    ("chunk", 262_144, 262_144, "one chunk, filled"),
    ("above_chunk", 262_145, 270_336, "e = 18, s = 5: multiples of 8,192"),
    ("mebibytes", 10_000_000, 10_223_616, "e = 23, s = 5: multiples of 262,144"),
    ("largest_content", 2_155_872_260, 2_214_592_512, "e = 31, s = 5: multiples of 2^26"),
]
BAD = [
    ("not_padded", 1025, 1025, "left as it is"),
    ("below_minimum", 100, 128, "a step of Padmé below the minimum"),
    ("next_power_of_two", 1025, 2048, "too much"),
    ("next_step", 1025, 1152, "one step too far"),
    ("step_when_full", 1024, 1088, "padded though it fits"),
    ("step_at_power_of_two", 2048, 2176, "padded though it fits"),
    ("finer_step", 2049, 2112, "the step of the octave below"),
    ("coarser_step", 1025, 1280, "s one smaller"),
    ("cut", 2049, 2048, "shorter than the content"),
    ("chunk_fine", 262_145, 266_240, "s one larger"),
    ("chunk_whole", 262_145, 524_288, "whole chunks"),
    ("off_by_one", 10_000_000, 10_223_617, "a byte more"),
]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic: `padded` is what `length` is padded to, or it is not."""
    return [
        case(name, SPEC, comment, {"length": length, "padded": padded}, expect)
        for expect, group in (("ok", GOOD), ("bad_padding", BAD))
        for name, length, padded, comment in group
    ]


if __name__ == "__main__":
    write("padding", SPEC, cases())
