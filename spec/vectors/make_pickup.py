"""Writes pickup.json: what link and code open together."""

from __future__ import annotations

from typing import Any

from protocol.crypto import Secret
from protocol.ids import LetterId, NodeId
from protocol.pickup import PickupLink, code_key, link_text, seal_pickup
from spec.vectors.common import case, write
from spec.vectors.sample_node import bytes_of

SPEC = "pickup.md, 2"
KEY = bytes_of("pickup/link")[:20]
NODE = NodeId(bytes_of("pickup/node"))
LETTER = LetterId(bytes_of("pickup/letter")[:16])
CODE = b"7KQ2MZXB"
CODE_SALT = bytes_of("pickup/code-salt")[:16]
SALT = bytes_of("pickup/salt")
PAYLOAD_KEY = bytes_of("pickup/payload-key")


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    link = PickupLink.of(Secret(KEY), NODE)
    code = code_key(Secret(CODE), CODE_SALT)
    box = seal_pickup(Secret(PAYLOAD_KEY), link=link, code=code, node=NODE, letter=LETTER, salt=SALT)
    given = {"link": KEY, "code": CODE, "code_salt": CODE_SALT, "node": NODE, "letter": LETTER, "box": box}

    def bad(name: str, comment: str, expect: str, **changed: bytes) -> dict[str, Any]:
        return case(name, SPEC, comment, {**given, **changed}, expect)

    return [
        case(
            "both",
            SPEC,
            "link and code together",
            given,
            name_of_row=link.name,
            link_text=link_text(Secret(KEY)).encode(),
            salt=SALT,
            payload_key=PAYLOAD_KEY,
        ),
        bad("other_code", "one character", "bad_commitment", code=b"7KQ2MZXC"),
        bad("other_link", "first bit", "bad_commitment", link=bytes([KEY[0] ^ 1]) + KEY[1:]),
        bad("other_code_salt", "of another letter", "bad_commitment", code_salt=bytes(16)),
        bad("other_node", "moved to another node", "bad_commitment", node=bytes(32)),
        bad("other_letter", "moved to another letter", "bad_commitment", letter=bytes(16)),
        bad("other_tag", "last byte", "bad_box", box=box[:-1] + bytes([box[-1] ^ 1])),
        bad("short", "79 bytes", "malformed", box=box[:79]),
    ]


if __name__ == "__main__":
    write("pickup", SPEC, cases())
