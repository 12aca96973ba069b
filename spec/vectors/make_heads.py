"""Writes heads.json: files of heads that auditors exchange."""

from __future__ import annotations

from typing import Any

from protocol.heads_file import HeldHeads, write_heads_file
from protocol.text_file import checksummed
from spec.vectors.common import write
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import SampleNode

SPEC = "audit.md, 5"


def _case(name: str, comment: str, text: str, expect: str, **out: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": {"file": text}, "expect": expect, **out}


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    hospital, clinic = SampleLog(SampleNode("fictive-hospital")), SampleLog(SampleNode("fictive-clinic"))
    hospital.grow(3)
    both = [
        HeldHeads(hospital.node.statements, (hospital.head(size=2), hospital.head())),
        HeldHeads(clinic.node.statements, (clinic.head(),)),
    ]
    good = write_heads_file(both).decode()
    lines = good.split("\n")[:-2]
    signed_twice = [*lines]
    signed_twice.insert(lines.index("end"), lines[lines.index("end") - 1])

    def sealed(changed: list[str]) -> str:
        return checksummed(changed).decode()

    return [
        _case("two_nodes", "three heads of two nodes", good, "ok", heads=[2, 1]),
        _case("no_heads", "a node of which no head is held", sealed(lines[:3]), "ok", heads=[0]),
        _case("nothing", "no node at all", sealed(lines[:1]), "malformed"),
        _case("altered", "a byte more", good.replace("node ", "node  ", 1), "mismatch"),
        _case("cut", "without its checksum", "\n".join(lines) + "\n", "malformed"),
        _case("version", "a later version", sealed(["coffre-heads@v2", *lines[1:]]), "unknown_version"),
        _case("node_twice", "one node twice", sealed([*lines, *lines[1:3]]), "malformed"),
        _case("two_signatures", "a head with two lines", sealed(signed_twice), "malformed"),
        _case("no_end", "a head without its end", sealed(lines[:-1]), "malformed"),
        _case("unknown_line", "a line of no known sort", sealed([*lines, "remark"]), "malformed"),
    ]


if __name__ == "__main__":
    write("heads", SPEC, cases())
