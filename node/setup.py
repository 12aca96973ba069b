"""`coffre init`: a new node: keys, recovery files, settings, database. Spec: spec/identity.md; spec/delivery.md, 8."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from node.config.sections import LinkSettings
from node.config.settings import load_settings
from node.config.values import split_endpoint
from node.errors import ConfigError, FolderError
from node.folder import Folder, write_private
from node.identity.key_change import FreshKeys, first_chain
from node.opening import open_node
from node.recovery_files import halves_of, identity_recovery_file, mailbox_recovery_file, write_new_files
from node.vault.database import Transaction
from node.vault.keyring import Keyring, NodeSealSecret, save_keyring
from node.world import World
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.entry import InstitutionEntry
from protocol.errors import LocalProtocolError
from protocol.invite import MAX_NAME_BYTES
from protocol.letter import normalise_address
from protocol.statement import StatementChain, node_digits
from protocol.texts import is_line

__all__ = [
    "InitResult",
    "NewNode",
    "init_node",
    "make_keyring",
    "prepare",
]

_RECOVERY_NAMES: Final = ("identity-recovery.key", "mailbox-recovery.key")
_HALVES: Final = ("half-1", "half-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNode:
    """What `init` is told. listen: HOST:PORT or empty; endpoints: what peers dial, by default `listen`;
    recovery_folder: where the two recovery files go, outside the node's folder; splits_recovery: as halves, in two
    folders there; passphrase_is_new: it was made by `prepare`, and `passphrase_file` is still to be written.
    """

    path: Path
    institution: str
    domain: str
    listen: str
    endpoints: tuple[str, ...]
    kind: str
    town: str
    passphrase: Secret
    passphrase_file: Path | None
    recovery_folder: Path
    splits_recovery: bool = False
    passphrase_is_new: bool = False
    database: str = ""


def prepare(
    *,
    path: Path,
    institution: str,
    domain: str,
    listen: str = "",
    endpoints: tuple[str, ...] = (),
    kind: str = "hospital",
    town: str = "",
    database: str = "",
    passphrase: Secret | None = None,
    passphrase_file: Path | None = None,
    recovery_folder: Path | None = None,
    splits_recovery: bool = False,
    world: World | None = None,
) -> NewNode:
    """Check what `init` was told and fill in what was left out. ConfigError in one line.

    Without a passphrase one is made, to be written beside the folder, never into it: who steals the folder has nothing.
    """
    world = world or World()
    domain, institution = domain.strip().lower(), institution.strip()
    if not 0 < len(institution.encode()) <= MAX_NAME_BYTES or not is_line(institution):
        raise ConfigError(f"an institution's name is one line of 1 to {MAX_NAME_BYTES} bytes")
    try:
        normalise_address(f"x@{domain}")
        if listen:
            split_endpoint(listen)
        for endpoint in endpoints:
            split_endpoint(endpoint)
    except ValueError as error:
        message = f"{domain!r} is no domain (like clinic.example)" if "x@" in str(error) else str(error)
        raise ConfigError(message) from None
    advertised = LinkSettings(listen=listen, endpoints=endpoints).advertised
    _check_publishable(institution, domain, advertised, kind, town)
    folder = path.absolute()
    passphrase_is_new = passphrase is None
    if passphrase is None:
        passphrase_file = folder.with_name(folder.name + ".passphrase")
        passphrase = Secret(_made_passphrase(world.random_bytes(16)).encode())
    return NewNode(
        path=folder,
        institution=institution,
        domain=domain,
        listen=listen,
        endpoints=advertised,
        kind=kind,
        town=town,
        passphrase=passphrase,
        passphrase_file=passphrase_file,
        passphrase_is_new=passphrase_is_new,
        recovery_folder=recovery_folder or folder.with_name(folder.name + ".recovery"),
        splits_recovery=splits_recovery,
        database=database,
    )


def _check_publishable(institution: str, domain: str, endpoints: tuple[str, ...], kind: str, town: str) -> None:
    """What the institution will say of itself must be what others take. ConfigError in one line."""
    entry = InstitutionEntry(
        names=(institution,), kind=kind, domains=(domain,), statement=0, endpoints=endpoints, town=town
    )
    try:
        entry.encode()
    except LocalProtocolError as error:
        words = {"at": "--endpoint", "kind": "--kind", "town": "--town", "names": "--institution"}
        reason = str(error).removeprefix("not a valid entry: ")
        name, _, rest = reason.partition(" ")
        hint = "a word like hospital, clinic, laboratory, practice" if name == "kind" else "see: coffre init --help"
        raise ConfigError(f"{words.get(name, name)} {rest}", hint=hint) from error


def _made_passphrase(random: bytes) -> str:
    """25 characters of base32 in groups, 125 bits."""
    text = base64.b32encode(random).decode().lower()[:25]
    return "-".join(text[at : at + 5] for at in range(0, 25, 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult:
    """What `init` made. The recovery files are one file each, or two halves."""

    node_id: str
    digits: str
    folder: Path
    identity_recovery_files: tuple[Path, ...]
    mailbox_recovery_files: tuple[Path, ...]


def make_keyring(world: World, recovery: SigningSecret, mailbox_recovery: SealSecret) -> Keyring:
    """New keys of an identity, and its first statement."""
    keys = FreshKeys.draw(world.random_bytes)
    raw = first_chain(keys, recovery.verify_key, now_ms=world.now_ms())
    return Keyring(
        chain=StatementChain.from_genesis(raw),
        identity=keys.identity,
        link=keys.link,
        log=keys.log,
        witness=keys.witness,
        pq_seed=keys.pq_seed,
        seal=(NodeSealSecret(keys.seal),),
        data_key=Secret(world.random_bytes(32)),
        index_key=Secret(world.random_bytes(32)),
        recovery_seal_key=mailbox_recovery.seal_key,
    )


def _settings_text(new: NewNode, folder: Folder) -> str:
    template = resources.files("node").joinpath("settings_template.toml").read_text("utf-8")
    values = {
        "institution": new.institution,
        "domain": new.domain,
        "passphrase_file": str(new.passphrase_file.absolute()) if new.passphrase_file else "",
        "listen": new.listen,
        "database": new.database,
    }
    # A JSON string is a TOML basic string.
    for name, value in values.items():
        template = template.replace(f"@{name}@", json.dumps(value, ensure_ascii=False))
    return template.replace("@endpoints@", json.dumps(list(new.endpoints)))


async def init_node(new: NewNode, world: World | None = None) -> InitResult:
    """Make a node's folder. FolderError, ConfigError; after an error nothing is left of it."""
    world = world or World()
    folder = Folder.create(new.path)
    made: list[Path] = []
    try:
        if not new.institution or len(new.institution.encode()) > 200:
            raise ConfigError("an institution's name has 1 to 200 bytes")
        recovery, mailbox_recovery = SigningSecret(world.random_bytes(32)), SealSecret(world.random_bytes(96))
        keyring = make_keyring(world, recovery, mailbox_recovery)
        if new.passphrase_is_new and new.passphrase_file is not None:
            _write_passphrase(new.passphrase_file, new.passphrase, made)
        write_private(folder.settings_file, _settings_text(new, folder).encode())
        load_settings(folder.settings_file)
        save_keyring(folder.keyring_file, keyring, new.passphrase, random_bytes=world.random_bytes)
        files = _write_recovery(new, folder, recovery, mailbox_recovery, world, made)
        folder.finish()
        await _first_entries(new, world)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        for path in reversed(made):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        raise
    return InitResult(
        node_id=keyring.chain.node_id.text,
        digits=node_digits(keyring.chain.node_id),
        folder=folder.path,
        identity_recovery_files=files[0],
        mailbox_recovery_files=files[1],
    )


def _write_passphrase(path: Path, passphrase: Secret, made: list[Path]) -> None:
    if path.exists():
        raise FolderError(f"{path} exists; it may belong to another node", hint="give --passphrase-file")
    write_private(path, passphrase.reveal() + b"\n")
    made.append(path)


def _write_recovery(
    new: NewNode,
    folder: Folder,
    recovery: SigningSecret,
    mailbox_recovery: SealSecret,
    world: World,
    made: list[Path],
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write both recovery files, whole or as halves; where each lies."""
    target = new.recovery_folder.absolute()
    if target == folder.path or folder.path in target.parents:
        raise ConfigError("recovery files do not belong into the node's folder", hint="choose another --recovery-dir")
    places = [target / half for half in _HALVES] if new.splits_recovery else [target]
    for place in places:
        try:
            is_new = not place.exists()
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"cannot make {place}: {error.strerror}") from error
        if is_new:
            made.append(place)
    whole = (
        identity_recovery_file(recovery, new.institution),
        mailbox_recovery_file(mailbox_recovery, new.institution),
    )
    contents = (
        [halves_of(data.decode(), world) for data in whole] if new.splits_recovery else [(data,) for data in whole]
    )
    paths = [tuple(place / name for place in places) for name in _RECOVERY_NAMES]
    files = [pair for named, data in zip(paths, contents, strict=True) for pair in zip(named, data, strict=True)]
    write_new_files(files)
    made.extend(path for path, _ in files)
    return paths[0], paths[1]


async def _first_entries(new: NewNode, world: World) -> None:
    entry = InstitutionEntry(
        names=(new.institution,),
        kind=new.kind,
        domains=(new.domain,),
        statement=0,
        endpoints=new.endpoints,
        town=new.town,
    )
    async with open_node(new.path, new.passphrase, world=world) as node:

        def first(tx: Transaction, items: Sequence[InstitutionEntry]) -> Sequence[None]:
            tx.log.open_epoch(1, "first")
            for item in items:
                node.directory.start_feed(tx, item)
            return [None] * len(items)

        await node.database.write(first, entry)
