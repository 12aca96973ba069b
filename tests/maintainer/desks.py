"""A maintainer's desk with fictional institutions, without their nodes."""

from __future__ import annotations

import atexit
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from directory_sync.lists.columns import column_map
from directory_sync.lists.institutions import INSTITUTION_FIELDS
from node.maintainer.desk import Desk
from node.maintainer.difference import Compared, Difference, compare, import_list
from node.maintainer.keys import OfflineKey, OnlineKeys
from node.maintainer.list_source import InstitutionFile
from node.maintainer.list_store import ListFacts, ListStore, list_path
from node.setup import make_keyring
from node.world import World
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.entry import MaintainerEntry, RevocationReason
from protocol.ids import NodeId
from protocol.invite import Invite, encode_invite

__all__ = ["PASSPHRASE", "DeskAtWork", "invitation"]

PASSPHRASE = Secret(b"phrase du mainteneur")
WORLD = World()


def invitation(name: str, domain: str) -> tuple[str, NodeId]:
    """An institution's invitation, and its node."""
    keyring = make_keyring(WORLD, SigningSecret(WORLD.random_bytes(32)), SealSecret(WORLD.random_bytes(96)))
    invite = Invite(chain=keyring.chain, institution=name, domain=domain, endpoints=(), made_at_ms=WORLD.now_ms())
    return encode_invite(invite, keyring.identity), keyring.chain.node_id


@lru_cache(maxsize=1)
def _keys() -> tuple[Path, OfflineKey, OnlineKeys]:
    """One folder for all tests of a process, with its keys: sealing keys takes seconds, a copy nothing."""
    path = Path(mkdtemp(prefix="coffre-desk-")) / "desk"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    entry = MaintainerEntry(names=("Région des Tilleuls",), region="Occitanie")
    Desk.create(path, entry, PASSPHRASE, recovery_file=path.with_name("recovery"), world=WORLD)
    offline, online = (
        OfflineKey.load(path / "offline.key", PASSPHRASE),
        OnlineKeys.load(path / "online.key", PASSPHRASE),
    )
    return path, offline, online


class DeskAtWork:
    """A desk with its keys at hand, and the lists that are brought to it."""

    def __init__(self, path: Path) -> None:
        made, self.offline, self.online = _keys()
        shutil.copytree(made, path)
        self.desk = Desk.open(path, WORLD)

    def ask(self, name: str, domain: str) -> NodeId:
        """A request that waits."""
        text, node = invitation(name, domain)
        self.desk.requests.add(text)
        return node

    def endorse(self, name: str, domain: str, kind: str = "hospital", region: str = "Occitanie") -> NodeId:
        """Somebody vouched for."""
        node = self.ask(name, domain)
        invite = self.desk.requests.find(node.text)
        self.desk.publish([self.desk.endorse(invite, self.offline, kind=kind, region=region, days=300)], self.online)
        return node

    def revoke(self, node: NodeId) -> None:
        """Somebody vouched for no longer."""
        self.desk.publish([self.desk.revoke(node, self.offline, RevocationReason.LEFT)], self.online)

    def suspend(self, node: NodeId) -> None:
        """Somebody stopped for some days."""
        self.desk.publish([self.desk.suspend(node, self.online, days=3)], self.online)

    def bring(self, text: str, name: str = "list.csv", *maps: str) -> ListFacts:
        """Import a list. maps: its column map."""
        file = self.desk.path.with_name(name)
        file.write_text(text, "utf-8")
        source = InstitutionFile(path=file)
        if maps:
            source = replace(source, columns=column_map(maps, fields=INSTITUTION_FIELDS))
        return import_list(self.desk, source, name, WORLD, lambda _bytes: None)

    def difference(self) -> Difference:
        """The difference as it is now."""
        with ListStore.open(list_path(self.desk.path)) as store:
            return compare(self.desk, store)

    def about(self, node: NodeId) -> Compared:
        """What the difference says of one."""
        difference = self.difference()
        (found,) = [item for item in (*difference.standing, *difference.requests) if item.member.node == node]
        return found
