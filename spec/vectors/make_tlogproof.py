"""Writes tlogproof.json: inclusion proofs with their heads, as text."""

from __future__ import annotations

import base64
from typing import Any

from protocol.merkle import leaf_hash
from protocol.tlogproof import TlogProof
from spec.vectors.common import write
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import SampleNode, bytes_of

SPEC = "evidence.md, 4"


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    letter = SampleLetter()
    node = letter.recipient
    evidence = node.evidence(letter.opening)
    good = evidence.proof.encode()
    lone = SampleNode("fictive-lone")
    index = lone.publish_sample()
    one = lone.entry_evidence(index)

    def case(
        name: str, comment: str, proof: bytes, expect: str, *, leaf: bytes = evidence.leaf, of: SampleNode = node
    ) -> dict[str, Any]:
        given = {
            "proof": proof.hex(),
            "leaf_hash": leaf_hash(leaf).hex(),
            "node": of.node_id.hex(),
            "keys": [key.hex() for key in of.chain.log_keys()],
        }
        return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect}

    lines = good.split(b"\n")
    first = lines[2]
    stray = first[:-2] + bytes([first[-2] + 1]) + b"="
    extra = b"extra " + base64.b64encode(b"context")
    foreign = TlogProof(evidence.proof.index, evidence.proof.hashes, lone.feed_head()).encode()
    long_path = TlogProof(0, (bytes_of("hash"),) * 54, evidence.proof.checkpoint).encode()

    def edited(at: int, *replacement: bytes) -> bytes:
        return b"\n".join([*lines[:at], *replacement, *lines[at + 1 :]])

    return [
        case("good", "leaf 3 of 5", good, "ok"),
        case(
            "tree_of_one",
            "no hashes: the empty line follows the index",
            one.proof.encode(),
            "ok",
            leaf=one.leaf,
            of=lone,
        ),
        case("other_leaf", "proof of another leaf", good, "bad_proof", leaf=one.leaf),
        case("other_index", "the neighbour's index", edited(1, b"index 2"), "bad_proof"),
        case("index_outside", "the size as index", edited(1, b"index 5"), "bad_proof"),
        case("hash_missing", "one line fewer", edited(2), "bad_proof"),
        case("hash_twice", "one line more", edited(2, first, first), "bad_proof"),
        case("changed_head", "the head's size is another", good.replace(b"\n5\n", b"\n6\n"), "bad_signature"),
        case("foreign_head", "a head of another node", foreign, "mismatch"),
        case("extra_line", "allowed by C2SP, refused here: nothing signs it", edited(1, extra, lines[1]), "malformed"),
        case("no_index", "the index line is missing", edited(1), "malformed"),
        case("index_leading_zero", "two spellings of one number", edited(1, b"index 03"), "malformed"),
        case("index_signed", "a sign before the number", edited(1, b"index +3"), "malformed"),
        case("index_huge", "17 digits", edited(1, b"index 10000000000000000"), "malformed"),
        case("short_hash", "31 bytes", edited(2, base64.b64encode(bytes(31))), "malformed"),
        case("hash_not_base64", "a character outside the alphabet", edited(2, b"!" + first[1:]), "malformed"),
        case("hash_stray_bits", "unused bits are not zero", edited(2, stray), "not_canonical"),
        case("no_head", "cut after the hashes", good.split(b"\n\n")[0] + b"\n", "malformed"),
        case("head_cut", "cut in the head", good.rpartition(b"\n\n")[0] + b"\n\n", "malformed"),
        case("other_version", "a version that is not known", edited(0, b"c2sp.org/tlog-proof@v2"), "unknown_version"),
        case("other_format", "another first line", edited(0, b"c2sp.org/tlog-head@v1"), "malformed"),
        case("too_many_hashes", "54 hashes: no tree below 2^53 leaves needs them", long_path, "too_large"),
        case("too_large", "20,481 bytes", good + b"x" * (20_481 - len(good)), "too_large"),
    ]


if __name__ == "__main__":
    write("tlogproof", SPEC, cases())
