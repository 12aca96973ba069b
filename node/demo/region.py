"""The region's maintainer in the demo: it vouches for every institution, and each of them trusts it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.app import Node
from node.maintainer.desk import Desk
from node.maintainer.keys import OfflineKey, OnlineKeys
from node.world import World
from protocol.crypto import Secret
from protocol.entry import MaintainerEntry
from protocol.feed_file import decode_feed_file
from protocol.statement import node_digits

__all__ = ["PASSPHRASE", "vouch_for_all"]

NAME: Final = "Région des Tilleuls"
PASSPHRASE: Final = "demo"
"""Of the maintainer's keys, which all lie in the demo's folder."""
_DAYS: Final = 396


async def vouch_for_all(folder: Path, nodes: Iterable[tuple[Node, str]]) -> str:
    """Make a maintainer in `folder`, endorse these nodes, let each trust it; returns the maintainer's 30 digits.

    nodes: with the kind of each institution.
    """
    world, passphrase = World(), Secret(PASSPHRASE.encode())
    desk = Desk.create(
        folder,
        MaintainerEntry(names=(NAME,), region="Occitanie"),
        passphrase,
        recovery_file=folder.with_name(folder.name + ".recovery.key"),
        world=world,
    )
    offline = OfflineKey.load(folder / "offline.key", passphrase)
    members = list(nodes)
    entries = [
        desk.endorse(desk.requests.add(node.invitation()), offline, kind=kind, region="Occitanie", days=_DAYS)
        for node, kind in members
    ]
    desk.publish(entries, OnlineKeys.load(folder / "online.key", passphrase))
    for node, _ in members:
        await node.trust.trust(decode_feed_file(desk.feed_file))
    return node_digits(desk.chain.node_id)
