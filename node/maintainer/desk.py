"""A maintainer's folder: statements, requests that wait, and the feed. Spec: spec/directory.md, 7.

Files: `statements`, `feed` (public), `requests/` (invitations), `offline.key` and `online.key` (sealed). Everything is
small (thousands of institutions), so each change writes the whole feed anew, in one piece.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from directory_sync.acquaintance import alike_warnings, stated_keys
from node.errors import ConfigError, FolderError, NotFoundError, StateError
from node.folder import write_private
from node.maintainer.feed_lock import writing_alone
from node.maintainer.history import History
from node.maintainer.keys import ComingKeys, OfflineKey, OnlineKeys
from node.maintainer.request_box import RequestBox
from node.recovery_files import identity_recovery_file, write_new_files
from node.setup import make_keyring
from node.world import World
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.cosignature import cosign, witness_name
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.entry import (
    MAINTAINER_SUBJECT,
    MAX_ENTRY_BYTES,
    Act,
    Endorsed,
    MaintainerEntry,
    RevocationReason,
    SignedStanding,
    Standing,
    sign_standing,
    standing_subject,
)
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.feed import FeedState, OperationKind, make_operation, snapshot_operation
from protocol.feed_file import FeedFile, decode_feed_file, encode_feed_file
from protocol.ids import NodeId
from protocol.invite import Invite
from protocol.statement import StatementChain

__all__ = ["Desk"]

EPOCH: Final = 1
_DAY_MS: Final = 86_400_000
_NO_LIMIT: Final = 2**40
# What an endorsement says beside the statements takes less than this.
_CHAIN_BYTES: Final = MAX_ENTRY_BYTES - 2048


class Desk:
    """One maintainer's folder, opened. Changing it needs the keys, given with each call."""

    def __init__(self, path: Path, feed: FeedFile, raws: Sequence[bytes], world: World) -> None:
        self.path = path
        self.requests = RequestBox(path)
        self.chain = feed.chain
        self._state = feed.state
        self._head = feed.head
        self._raws = list(raws)
        self._history = History(feed.operations)
        self._world = world
        self._stored = b"" if not raws else encode_feed_file(feed.chain, self._raws, feed.head)

    # -- making and opening

    @classmethod
    def create(
        cls, path: Path, entry: MaintainerEntry, passphrase: Secret, *, recovery_file: Path, world: World
    ) -> Desk:
        """Make a folder with new keys and a feed of one operation. FolderError, ConfigError."""
        folder = path.absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FolderError(f"{path} exists and is not empty", hint="name a new folder")
        if recovery_file.exists():
            raise FolderError(f"{recovery_file} exists; it may belong to another", hint="give --recovery-file")
        try:
            encoded = entry.encode()
        except LocalProtocolError as error:
            raise ConfigError(str(error)) from error
        recovery = SigningSecret(world.random_bytes(32))
        keyring = make_keyring(world, recovery, SealSecret(world.random_bytes(96)))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            RequestBox(folder).make()
            OfflineKey(keyring.identity).save(folder / "offline.key", passphrase, world)
            online = OnlineKeys(log=keyring.log, witness=keyring.witness)
            online.save(folder / "online.key", passphrase, world)
            whose = f"maintainer {entry.names[0]}"
            write_new_files([(recovery_file, identity_recovery_file(recovery, whose))])
            desk = cls(folder, FeedFile(keyring.chain, EPOCH, (), FeedState(), b""), (), world)
            desk._append(OperationKind.MAINTAINER, MAINTAINER_SUBJECT, encoded)
            desk._write(online)
        except ConfigError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise FolderError(f"cannot make {path}: {error.strerror}") from error
        return desk

    @classmethod
    def open(cls, path: Path, world: World) -> Desk:
        """An existing folder. FolderError if it is none, or damaged."""
        try:
            raw = (path / "feed").read_bytes()
        except PermissionError:
            raise FolderError(
                f"{path} is another user's", hint="run this as its owner: sudo -u USER coffre …"
            ) from None
        except OSError as error:
            raise FolderError(
                f"{path} holds no maintainer", hint="make one with: coffre maintainer init DIR --name NAME"
            ) from error
        try:
            feed = decode_feed_file(raw)
        except RemoteProtocolError as error:
            raise FolderError(f"{path / 'feed'} is damaged", hint="restore the folder from a copy") from error
        return cls(path, feed, [operation.encode() for operation in feed.operations], world)

    # -- what it holds

    @property
    def entry(self) -> MaintainerEntry:
        """What the maintainer says of itself."""
        entry = self._state.live[MAINTAINER_SUBJECT].operation.entry
        assert entry is not None
        return MaintainerEntry.decode(entry)

    @property
    def feed_file(self) -> bytes:
        """The feed as it is published, for nodes to import."""
        return encode_feed_file(self.chain, self._raws, self._head)

    def standings(self) -> list[Standing]:
        """The newest word on each node, by institution's name and id."""
        found = []
        for live in self._state.live.values():
            if live.operation.leaf.kind == OperationKind.STANDING and live.operation.entry is not None:
                found.append(SignedStanding.decode(live.operation.entry).standing)
        return sorted(found, key=lambda item: (about.name if (about := self.about(item)) else "~", item.node))

    def about(self, standing: Standing) -> Endorsed | None:
        """Whom a standing is about: a suspension and a revocation name the node alone, the endorsement before names
        the institution. None for a node that was never endorsed.
        """
        return standing.endorsed or self._history.last_endorsed(standing.node)

    def name(self, standing: Standing) -> str:
        """The institution's name; the beginning of the node's id where nobody was endorsed."""
        about = self.about(standing)
        return about.name if about is not None else f"{standing.node.text[:12]}…"

    def signed_standing(self, node: NodeId) -> SignedStanding:
        """The newest word on a node as it was signed. NotFoundError."""
        live = self._state.live.get(standing_subject(node))
        if live is None or live.operation.entry is None:
            raise NotFoundError(f"nothing was said of {node.text[:12]}…")
        return SignedStanding.decode(live.operation.entry)

    def find(self, text: str) -> Standing:
        """A standing by domain, institution's name or the beginning of the id. NotFoundError if not exactly one.

        Who was revoked answers to a domain or a name only where nobody else does: another node may hold it by now.
        """
        wanted = text.strip().lower()
        standings = self.standings()
        found = {item.node: item for item in standings if item.node.text.startswith(wanted)}
        named = [
            item
            for item in standings
            if (about := self.about(item)) is not None and wanted in (about.domain, about.name.lower())
        ]
        standing = [item for item in named if item.act is not Act.REVOKE]
        found |= {item.node: item for item in standing or named}
        if len(found) != 1:
            word = "nothing was said of" if not found else "several institutions are"
            raise NotFoundError(f"{word} {text!r}", hint=f"see: coffre maintainer list {self.path}")
        return next(iter(found.values()))

    def warnings(self, invite: Invite) -> tuple[str, ...]:
        """What is like an institution that is endorsed already, or shares a key with one, one line each."""
        node, keys = invite.chain.node_id, stated_keys(invite.chain)
        # A suspended one holds its domain still.
        standing = [item for item in self.standings() if item.act is not Act.REVOKE and item.node != node]
        others = [about for item in standing if (about := self.about(item)) is not None]
        shared = [other.name for other in others if keys & stated_keys(other.chain)]
        if keys & stated_keys(self.chain):
            shared.append("this maintainer")
        told = tuple(f"it shares a key with {name}: one of the two is not who it says" for name in shared)
        known = [(other.name, other.domain) for other in others if other.domain != invite.domain]
        same = tuple(
            f"{invite.domain} is endorsed for {other.name} already" for other in others if other.domain == invite.domain
        )
        return told + same + alike_warnings(invite.institution, invite.domain, known)

    # -- keys

    def learn(self, coming: ComingKeys | None) -> None:
        """Work under a statement that the feed here does not have yet: on the offline machine, or after a crash.

        StateError if it is not this maintainer's.
        """
        if coming is None:
            return
        try:
            self.chain = self.chain.extend(coming.statement)
        except RemoteProtocolError as error:
            raise StateError(
                "these keys follow other statements than this folder has", hint=f"code: {error.reason.value}"
            ) from error

    def take_keys(self, coming: ComingKeys, passphrase: Secret) -> None:
        """Use new keys where the feed is: the online keys, then the feed under them. Done again after a crash, it ends
        the same.
        """
        self.learn(coming)
        coming.online.save(self.path / "online.key", passphrase, self._world)
        self._write(coming.online)

    # -- signing, with the offline key

    def endorse(self, invite: Invite, key: OfflineKey, *, kind: str, region: str, days: int) -> bytes:
        """The signed entry that vouches for an institution. ConfigError for what nobody could read."""
        endorsed = Endorsed(
            domain=invite.domain,
            name=invite.institution,
            kind=kind,
            region=region,
            endpoints=invite.endpoints,
            chain=_that_fits(invite.chain),
        )
        return self._sign(Act.ENDORSE, invite.chain.node_id, key.identity, days=days, endorsed=endorsed)

    def renew(self, standing: Standing, key: OfflineKey, *, days: int) -> bytes:
        """The signed entry that prolongs an endorsement."""
        if standing.endorsed is None:
            raise StateError(f"{standing.node.text[:12]}… is not endorsed", hint="coffre maintainer endorse")
        return self._sign(Act.ENDORSE, standing.node, key.identity, days=days, endorsed=standing.endorsed)

    def revoke(self, node: NodeId, key: OfflineKey, reason: RevocationReason) -> bytes:
        """The signed entry that takes an endorsement back."""
        return self._sign(Act.REVOKE, node, key.identity, reason=reason)

    def suspend(self, node: NodeId, keys: OnlineKeys, *, days: int) -> bytes:
        """The signed entry that stops a node for some days, without the offline key.

        StateError for one that is revoked as compromised: a suspension stops no more, and ends.
        """
        live = self._state.live.get(standing_subject(node))
        if live is not None and live.operation.entry is not None:
            standing = SignedStanding.decode(live.operation.entry).standing
            if standing.reason is RevocationReason.COMPROMISED:
                raise StateError(f"{self.name(standing)} is revoked as compromised already")
        return self._sign(Act.SUSPEND, node, keys.witness, days=days)

    def _sign(
        self,
        act: Act,
        node: NodeId,
        secret: SigningSecret,
        *,
        days: int = 0,
        endorsed: Endorsed | None = None,
        reason: RevocationReason | None = None,
    ) -> bytes:
        stated = self.chain.current.witness_key if act is Act.SUSPEND else self.chain.current.identity_key
        if secret.verify_key != stated:
            raise StateError(
                "this key is not the one that the newest statement names",
                hint="take the newest keys: coffre maintainer publish DIR FILE, or coffre maintainer keys renew DIR",
            )
        time_ms = self._world.now_ms()
        standing = Standing(
            act=act,
            by=self.chain.node_id,
            node=node,
            time_ms=time_ms,
            until_ms=time_ms + days * _DAY_MS if act is not Act.REVOKE else None,
            endorsed=endorsed,
            reason=reason,
        )
        try:
            return sign_standing(standing, secret)
        except LocalProtocolError as error:
            raise ConfigError(str(error)) from error

    # -- the feed, with the online keys

    def publish(self, entries: Sequence[bytes], keys: OnlineKeys) -> int:
        """Append signed entries that are new, sign and date the head; returns how many were appended.

        RemoteProtocolError for an entry that this maintainer did not sign. StateError for one older than what stands.
        """
        appended = 0
        checked = [SignedStanding.decode(raw) for raw in entries]
        for signed in checked:
            signed.verify(self.chain)
        for signed in checked:
            subject = standing_subject(signed.standing.node)
            known = self._state.live.get(subject)
            if known is not None and known.operation.entry is not None:
                if known.operation.entry == signed.raw:
                    continue
                if SignedStanding.decode(known.operation.entry).standing.time_ms > signed.standing.time_ms:
                    raise StateError(f"a newer word on {signed.standing.node.text[:12]}… was published already")
            self._append(OperationKind.STANDING, subject, signed.raw)
            self.requests.drop(signed.standing.node)
            appended += 1
        self._write(keys)
        return appended

    def _append(self, kind: OperationKind, subject: bytes, entry: bytes) -> None:
        operations = [snapshot_operation(self._state.live)] if self._state.needs_snapshot else []
        known = self._state.live.get(subject)
        version = 1 if known is None else known.operation.leaf.version + 1
        operations.append(make_operation(kind, subject, version, entry, self._world.random_bytes(32)))
        self._state.apply(operations, max_entries=_NO_LIMIT, max_bytes=_NO_LIMIT)
        self._history.add(operations)
        self._raws += [operation.encode() for operation in operations]

    def _write(self, keys: OnlineKeys) -> None:
        if keys.log.verify_key != self.chain.current.log_key:
            raise StateError(
                "the online keys are not those that the newest statement names",
                hint="take the newest: coffre maintainer publish DIR FILE, or coffre maintainer keys renew DIR",
            )
        origin = feed_origin(self.chain.node_id, EPOCH)
        head = sign_checkpoint(Checkpoint(origin, self._state.size, self._state.tree.root()), keys.log)
        time_s = self._world.now_ms() // 1000
        self._head = cosign(head, name=witness_name(self.chain.node_id), secret=keys.witness, time_s=time_s)
        with writing_alone(self.path, self._stored):
            write_private(self.path / "feed", self.feed_file)
        self._stored = self.feed_file


def _that_fits(chain: StatementChain) -> StatementChain:
    """The first statements of a chain, as many as an endorsement takes; peers fetch the others."""
    kept, size = 1, len(chain.statements[0].raw)
    for signed in chain.statements[1:]:
        size += len(signed.raw)
        if size > _CHAIN_BYTES or signed.by_recovery:
            break
        kept += 1
    return replace(chain, statements=chain.statements[:kept], superseded=())
