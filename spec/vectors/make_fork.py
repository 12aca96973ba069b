"""Writes fork.json: pairs of heads that contradict each other, or seem to, as text files.

The text is put together here line by line, and roots and consistency proofs are computed by the recursion of RFC 6962,
apart from the code that reads them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from protocol.checkpoint import Checkpoint, sign_checkpoint
from spec.vectors.common import write
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of

SPEC = "evidence.md, 13"
_LEAVES = [hashlib.sha256(b"\0" + bytes([at])).digest() for at in range(11)]
_OTHERS = [*_LEAVES[:4], *(hashlib.sha256(b"\0other" + bytes([at])).digest() for at in range(4, 11))]


def _root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _consistency(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if whole else [_root(leaves)]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if old <= split:
        return [*_consistency(old, leaves[:split], whole=whole), _root(leaves[split:])]
    return [*_consistency(old - split, leaves[split:], whole=False), _root(leaves[:split])]


def _line(word: str, data: bytes) -> str:
    return f"{word} {base64.b64encode(data).decode()}"


def _sealed(lines: Sequence[str]) -> str:
    body = "".join(f"{line}\n" for line in lines)
    return f"{body}sha256 {hashlib.sha256(body.encode()).hexdigest()}\n"


class _Forker:
    """A node whose log key signs what it is told to."""

    def __init__(self, name: str = "fictive-forker") -> None:
        self.node = SampleNode(name)

    def head(self, leaves: Sequence[bytes], *, kind: str = "feed", epoch: int = 1) -> str:
        origin = f"coffre/{self.node.node_id.text}/{kind}/{epoch}"
        return sign_checkpoint(Checkpoint(origin, len(leaves), _root(leaves)), self.node.log_secret).decode()

    def file(
        self, first: str, second: str, prefix: bytes | None = None, hashes: Sequence[bytes] = (), *extra: str
    ) -> str:
        lines = ["coffre-fork@v1", f"node {self.node.node_id.text}"]
        lines += [_line("statement", raw) for raw in self.node.chain.raw_list()]
        for note in (first, second):
            lines += ["head", *note.removesuffix("\n").split("\n"), "end"]
        lines += [] if prefix is None else [_line("prefix", prefix)]
        return _sealed([*lines, *(_line("hash", item) for item in hashes), *extra])


def _case(name: str, comment: str, file: str, expect: str, **out: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": {"file": file}, "expect": expect, **out}


def _good_cases() -> list[dict[str, Any]]:
    forker, lost = _Forker(), _Forker()
    before = lost.head(_LEAVES[:7])
    other = lost.head(_OTHERS[:7])
    lost.node.recover(bad_from_ms=FROM_MS)
    known = ["node_unconfirmed"]
    four, eleven = forker.head(_OTHERS[:6]), forker.head(_LEAVES)
    proof = _consistency(6, _LEAVES)
    log = (forker.head(_LEAVES[:7], kind="log", epoch=3), forker.head(_OTHERS[:7], kind="log", epoch=3))
    power = (forker.head(_OTHERS[:8]), _root(_LEAVES[:8]), _consistency(8, _LEAVES))
    return [
        _case(
            "equal_sizes",
            "two roots at size 7",
            forker.file(forker.head(_LEAVES[:7]), forker.head(_OTHERS[:7])),
            "ok",
            kind="feed",
            epoch=1,
            sizes=[7, 7],
            fork=True,
            doubts=known,
        ),
        _case(
            "log",
            "of a log, in its third epoch",
            forker.file(*log),
            "ok",
            kind="log",
            epoch=3,
            sizes=[7, 7],
            fork=True,
            doubts=known,
        ),
        _case(
            "two_sizes",
            "the tree of 11 does not begin with the one of 6",
            forker.file(four, eleven, _root(_LEAVES[:6]), proof),
            "ok",
            kind="feed",
            epoch=1,
            sizes=[6, 11],
            fork=True,
            doubts=known,
        ),
        _case(
            "power_of_two",
            "the prefix is a node of the larger tree",
            forker.file(power[0], eleven, *power[1:]),
            "ok",
            kind="feed",
            epoch=1,
            sizes=[8, 11],
            fork=True,
            doubts=known,
        ),
        _case(
            "rollback",
            "two sizes and nothing that shows a fork",
            forker.file(four, eleven),
            "ok",
            kind="feed",
            epoch=1,
            sizes=[6, 11],
            fork=False,
            doubts=known,
        ),
        _case(
            "lost_key",
            "both signed by a key that a recovery replaced",
            lost.file(before, other),
            "ok",
            kind="feed",
            epoch=1,
            sizes=[7, 7],
            fork=True,
            doubts=["lost_key", *known],
        ),
    ]


def _unread_cases() -> list[dict[str, Any]]:
    forker = _Forker()
    small, large = forker.head(_OTHERS[:6]), forker.head(_LEAVES)
    proof, prefix = _consistency(6, _LEAVES), _root(_LEAVES[:6])
    good = forker.file(small, large, prefix, proof)
    lines = good.split("\n")[:-2]
    cosigned = large + "\u2014 witness.example AAAAAHNpZ25hdHVyZQ==\n"
    stray = lines[-1][:-2] + chr(ord(lines[-1][-2]) + 1) + "="
    return [
        _case("empty", "no bytes", "", "malformed"),
        _case("other_version", "another version", _sealed(["coffre-fork@v2", *lines[1:]]), "unknown_version"),
        _case("changed_byte", "checksum as before", good.replace("head", "heaD", 1), "mismatch"),
        _case("cut", "the checksum line is missing", "\n".join(lines) + "\n", "malformed"),
        _case("after_the_end", "an empty line after the checksum", good + "\n", "malformed"),
        _case("one_head", "nothing to compare", _sealed(lines[:3] + lines[3 : 3 + 7]), "malformed"),
        _case("unknown_signature", "a note may have it, this file may not", forker.file(small, cosigned), "malformed"),
        _case("larger_first", "the smaller head comes first", forker.file(large, small), "malformed"),
        _case(
            "other_tree",
            "a head of the feed and one of the log",
            forker.file(small, forker.head(_LEAVES, kind="log")),
            "mismatch",
        ),
        _case("other_epoch", "two epochs are two trees", forker.file(small, forker.head(_LEAVES, epoch=2)), "mismatch"),
        _case(
            "needless_prefix",
            "equal sizes prove themselves",
            forker.file(forker.head(_LEAVES[:7]), forker.head(_OTHERS[:7]), prefix),
            "malformed",
        ),
        _case(
            "no_prefix",
            "hashes that prove nothing",
            _sealed([line for line in lines if line[:6] != "prefix"]),
            "malformed",
        ),
        _case(
            "unknown_line", "a line of no known sort", forker.file(small, large, prefix, proof, "comment"), "malformed"
        ),
        _case(
            "many_hashes",
            "one more than any tree needs",
            forker.file(small, large, prefix, [bytes(32)] * 55),
            "malformed",
        ),
        _case("short_prefix", "31 bytes", forker.file(small, large, prefix[:31], proof), "malformed"),
        _case(
            "stray_bits", "base64 with unused bits that are not zero", _sealed([*lines[:-1], stray]), "not_canonical"
        ),
    ]


def _false_cases() -> list[dict[str, Any]]:
    forker, stranger = _Forker(), _Forker("fictive-stranger")
    small, large = forker.head(_OTHERS[:6]), forker.head(_LEAVES)
    proof, prefix = _consistency(6, _LEAVES), _root(_LEAVES[:6])
    true_small = forker.head(_LEAVES[:6])
    forged = forker.node.log_secret
    forker_id = forker.node.node_id.text
    forker.node.log_secret = stranger.node.log_secret
    by_stranger = forker.head(_OTHERS[:11])
    forker.node.log_secret = forged
    signature = large.rstrip("\n")[-20:]
    broken = large.replace(signature, "A" * 8 + signature[8:])
    return [
        _case(
            "goes_on",
            "the larger tree does begin with the smaller one",
            forker.file(true_small, large, prefix, proof),
            "mismatch",
        ),
        _case("same_head", "one head twice", forker.file(large, large), "mismatch"),
        _case(
            "false_prefix",
            "a prefix that the proof does not lead to",
            forker.file(true_small, large, bytes_of("prefix"), proof),
            "bad_proof",
        ),
        _case("hash_missing", "one hash too few", forker.file(small, large, prefix, proof[:-1]), "bad_proof"),
        _case("hash_added", "one hash too many", forker.file(small, large, prefix, [*proof, bytes(32)]), "bad_proof"),
        _case(
            "other_node",
            "statements of another node than named",
            _sealed(
                forker.file(small, large, prefix, proof)
                .replace(f"node {forker_id}", f"node {stranger.node.node_id.text}")
                .split("\n")[:-2]
            ),
            "mismatch",
        ),
        _case(
            "heads_of_another_node",
            "statements that do not fit the heads",
            stranger.file(small, large, prefix, proof),
            "mismatch",
        ),
        _case(
            "unknown_key",
            "one head by a key that the node never stated",
            forker.file(large, by_stranger),
            "unknown_key",
        ),
        _case("bad_signature", "a changed signature", forker.file(small, broken, prefix, proof), "bad_signature"),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return [*_good_cases(), *_unread_cases(), *_false_cases()]


if __name__ == "__main__":
    write("fork", SPEC, cases())
