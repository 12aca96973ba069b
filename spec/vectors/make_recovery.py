"""Writes recovery.json: recovery files, whole and in halves, and what two files are together."""

from __future__ import annotations

import base64
from typing import Any

from protocol.crypto import Secret, hash_labelled
from protocol.labels import Label
from protocol.recovery_file import RecoverySort, WholeRecovery, encode_recovery_file, split_recovery
from spec.vectors.common import case, write
from spec.vectors.sample_node import bytes_of

SPEC = "identity.md, 10"
PAIR, OTHER_PAIR = bytes_of("recovery/pair")[:8], bytes_of("recovery/other-pair")[:8]
PREFIX = "coffre-recovery-half-1."


def long_bytes(name: str, length: int) -> bytes:
    """As many bytes as a secret of this sort has."""
    return b"".join(bytes_of(f"{name}/{at}") for at in range(length // 32))


def text_of(body: bytes) -> str:
    """A half's line of any bytes, with a check that holds."""
    data = body + hash_labelled(Label.RECOVERY_HALF, body)[:4]
    return PREFIX + base64.b32encode(data).decode().rstrip("=").lower()


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    made = []
    texts: dict[str, str] = {}
    for sort in RecoverySort:
        secret, pad = long_bytes(f"recovery/{sort.word}", sort.length), long_bytes(f"pad/{sort.word}", sort.length)
        whole = WholeRecovery(sort, Secret(secret))
        halves = split_recovery(whole, pad=pad, pair=PAIR)
        texts |= {f"{sort.word}_whole": encode_recovery_file(whole, "Coffre, Clinique Fictive").decode()}
        texts |= {f"{sort.word}_{half.number}": encode_recovery_file(half, "a half").decode() for half in halves}
        outputs: dict[str, Any] = {"sort": sort.word, "secret": secret}
        one, two = texts[f"{sort.word}_1"], texts[f"{sort.word}_2"]
        made += [
            case(f"{sort.word}_whole", SPEC, "one file", {"files": [texts[f"{sort.word}_whole"]]}, **outputs),
            case(f"{sort.word}_halves", SPEC, "pad and XOR", {"files": [one, two]}, **outputs, pad=pad, pair=PAIR),
            case(f"{sort.word}_halves_turned", SPEC, "the other order", {"files": [two, one]}, **outputs),
        ]
    one, two = texts["identity_1"], texts["identity_2"]
    other = split_recovery(
        WholeRecovery(RecoverySort.IDENTITY, Secret(bytes(32))), pad=bytes_of("recovery/pad"), pair=OTHER_PAIR
    )[1]
    code, share = one.splitlines()[-1], bytes(32)

    def bad(name: str, comment: str, expect: str, *files: str) -> dict[str, Any]:
        return case(name, SPEC, comment, {"files": list(files)}, expect)

    return [
        *made,
        case(
            "capitals",
            SPEC,
            "typed from paper",
            {"files": [one.upper(), two]},
            sort="identity",
            secret=long_bytes("recovery/identity", 32),
        ),
        bad("same_half_twice", "half 1 and half 1", "mismatch", one, one),
        bad("halves_of_two_files", "another pair", "mismatch", one, encode_recovery_file(other).decode()),
        bad("halves_of_two_sorts", "identity and mailbox", "mismatch", one, texts["mailbox_2"]),
        bad(
            "one_character",
            "the 40th is another one",
            "malformed",
            code[:40] + ("a" if code[40] != "a" else "b") + code[41:],
            two,
        ),
        bad("cut", "the last character is gone", "malformed", code[:-2], two),
        bad("no_number", "half 3", "malformed", text_of(bytes((1, 3)) + PAIR + share), two),
        bad("no_sort", "sort 3", "malformed", text_of(bytes((3, 1)) + PAIR + share), two),
        bad("short_share", "31 bytes", "malformed", text_of(bytes((1, 1)) + PAIR + share[:31]), two),
        bad(
            "share_of_the_other_sort",
            "an identity half of 96 bytes",
            "malformed",
            text_of(bytes((1, 1)) + PAIR + bytes(96)),
            two,
        ),
        bad("no_code", "a line of another sort", "malformed", "coffre-recovery-half-2.aaaa", two),
        bad(
            "whole_cut",
            "an identity key of 31 bytes",
            "malformed",
            RecoverySort.IDENTITY.prefix + base64.b32encode(bytes(31)).decode().rstrip("=").lower(),
        ),
        bad(
            "spare_bits",
            "the last character says more than the bytes",
            "not_canonical",
            RecoverySort.IDENTITY.prefix + "a" * 51 + "b",
        ),
        bad("too_long", "more than 16 Ki characters", "too_large", "#" * 16385),
    ]


if __name__ == "__main__":
    write("recovery", SPEC, cases())
