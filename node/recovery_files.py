"""Recovery files on disk: written once, read whole or by their halves, split and joined. Spec: spec/identity.md, 10."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from node.errors import ConfigError, WrongSecretError
from node.folder import sync_folder
from node.world import World
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.errors import Reason, RemoteProtocolError
from protocol.recovery_file import (
    PAIR_BYTES,
    RecoveryHalf,
    RecoverySort,
    WholeRecovery,
    decode_recovery_file,
    encode_recovery_file,
    join_halves,
    split_recovery,
)

__all__ = [
    "halves_of",
    "identity_recovery_file",
    "join_files",
    "mailbox_recovery_file",
    "parse_recovery",
    "read_identity_recovery_file",
    "read_part",
    "read_recovery_file",
    "split_file",
    "write_identity_recovery_file",
    "write_new_files",
]

_KEEP: Final = "Keep this file off the machine, in a safe. Whoever holds it can use it."
_KEEP_APART: Final = (
    "It says nothing without the other half, which must not lie in the same place. Both together: "
    "coffre recovery join, or --recovery-file given twice."
)
_MAX_BYTES: Final = 16 * 1024
_Files = Sequence[tuple[Path, bytes]]


# -- what stands in them


def identity_recovery_file(recovery: SigningSecret, whose: str) -> bytes:
    """An identity recovery file. whose: the institution, or "maintainer NAME"."""
    what = f"Coffre, {whose}: repairs its identity after its keys were stolen or lost."
    return encode_recovery_file(WholeRecovery(RecoverySort.IDENTITY, Secret(recovery.reveal())), what, _KEEP)


def mailbox_recovery_file(recovery: SealSecret, whose: str) -> bytes:
    """A mailbox recovery file. whose: the institution."""
    what = f"Coffre, {whose}: opens every mailbox of this node (coffre mailbox recover)."
    return encode_recovery_file(WholeRecovery(RecoverySort.MAILBOX, Secret(recovery.reveal())), what, _KEEP)


def halves_of(text: str, world: World) -> tuple[bytes, bytes]:
    """Two files, each one half of a whole recovery file. ConfigError if it is a half already, or none."""
    try:
        parts = decode_recovery_file(text)
    except RemoteProtocolError as error:
        raise ConfigError(f"this is no recovery file: {error.detail}") from error
    if len(parts) != 1 or not isinstance(parts[0], WholeRecovery):
        raise ConfigError("this is no whole recovery file, so it cannot be split", hint="see: coffre recovery show")
    whole = parts[0]
    about = next((line[1:].strip() for line in text.splitlines() if line.startswith("#")), f"a {whole.sort.word} key")
    halves = split_recovery(whole, pad=world.random_bytes(whole.sort.length), pair=world.random_bytes(PAIR_BYTES))
    first, second = (
        encode_recovery_file(half, about, f"Half {half.number} of 2 of this file; pair {half.pair.hex()}.", _KEEP_APART)
        for half in halves
    )
    return first, second


# -- writing


def write_new_files(files: _Files) -> None:
    """New files that only their owner reads, all of them or none. ConfigError if one is there already."""
    made: list[Path] = []
    try:
        for path, data in files:
            # The name itself is claimed: two commands at once do not write one file, and nothing is written over.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            made.append(path)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        for folder in {path.absolute().parent for path, _ in files}:
            sync_folder(folder)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        failed = error.filename or files[len(made) - 1][0]
        if isinstance(error, FileExistsError):
            raise ConfigError(f"{failed} exists; it may be another's", hint="name a new file") from error
        raise ConfigError(f"{failed} cannot be written: {error.strerror}") from error


def _refuse_inside(path: Path, folder: Path) -> None:
    if folder.absolute() in path.absolute().parents:
        raise ConfigError(f"{path} lies in {folder}; a recovery file does not belong there", hint="name another place")


def _refuse_node_folders(paths: Sequence[Path]) -> None:
    for path in paths:
        for folder in path.absolute().parents:
            if (folder / "coffre.toml").exists():
                _refuse_inside(path, folder)


def write_identity_recovery_file(path: Path, recovery: SigningSecret, whose: str, *, outside: Path) -> None:
    """A new identity recovery file, 0600. ConfigError if it is there already, or inside the folder `outside`."""
    _refuse_inside(path, outside)
    write_new_files([(path, identity_recovery_file(recovery, whose))])


def split_file(path: Path, into: tuple[Path, Path], world: World) -> RecoverySort:
    """Write the two halves of a recovery file, which stays; they are read back and joined before this returns.

    ConfigError: no whole recovery file, a name that is taken, a place inside a node's folder.
    """
    _refuse_node_folders(into)
    if into[0].absolute() == into[1].absolute():
        raise ConfigError("both halves would go into one file", hint="name two files, for two places")
    text = _text_of(path)
    write_new_files(list(zip(into, halves_of(text, world), strict=True)))
    whole, joined = _whole([path]), _whole(into)
    if joined != whole:
        raise ConfigError(f"what was read back of {into[0]} and {into[1]} is not {path}", hint="do not rely on them")
    return whole.sort


def join_files(halves: tuple[Path, Path], into: Path) -> RecoverySort:
    """Write the whole recovery file of two halves. WrongSecretError, ConfigError."""
    _refuse_node_folders([into])
    whole = _whole(halves)
    about = next((line[1:].strip() for line in _text_of(halves[0]).splitlines() if line.startswith("#")), "Coffre.")
    write_new_files([(into, encode_recovery_file(whole, about, _KEEP))])
    return whole.sort


# -- reading


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES + 1).decode("utf-8", "replace")
    except OSError as error:
        raise WrongSecretError(f"{path} cannot be read: {error.strerror}") from error


def read_part(path: Path, sort: RecoverySort | None = None) -> WholeRecovery | RecoveryHalf:
    """What one file is. WrongSecretError if it is no recovery file (of this sort)."""
    what = f"{path} is not a recovery file" if sort is None else _not_one(str(path), sort)
    try:
        parts = decode_recovery_file(_text_of(path))
    except RemoteProtocolError as error:
        raise WrongSecretError(f"{what}: {error.detail}", hint=_HINT) from error
    if len(parts) != 1 or sort not in (None, parts[0].sort):
        raise WrongSecretError(what, hint=_HINT)
    return parts[0]


_HINT: Final = "that file was written by coffre init, outside the node's folder"


def _whole(paths: Sequence[Path], sort: RecoverySort | None = None) -> WholeRecovery:
    """What the given files are together. WrongSecretError if that is no recovery key (of this sort)."""
    if len(paths) not in (1, 2):
        raise ConfigError("give one recovery file, or its two halves")
    return _joined([read_part(path, sort) for path in paths], str(paths[0]))


def _not_one(place: str, sort: RecoverySort) -> str:
    return f"{place} is not {'an' if sort is RecoverySort.IDENTITY else 'a'} {sort.word} recovery file"


def _joined(parts: Sequence[WholeRecovery | RecoveryHalf], place: str) -> WholeRecovery:
    match parts:
        case [WholeRecovery() as whole]:
            return whole
        case [RecoveryHalf() as half]:
            raise WrongSecretError(f"{place} is half {half.number} of a recovery file", hint="give both halves")
        case [RecoveryHalf() as one, RecoveryHalf() as other]:
            try:
                return join_halves(one, other)
            except RemoteProtocolError as error:
                raise WrongSecretError(error.detail, hint="compare the pair that each file names") from error
        case _:
            raise WrongSecretError("give one recovery file, or its two halves")


def read_recovery_file(*paths: Path) -> SealSecret:
    """The mailbox recovery key from its file, or its two halves. WrongSecretError if it is another sort of file."""
    return SealSecret(_whole(paths, RecoverySort.MAILBOX).secret.reveal())


def read_identity_recovery_file(*paths: Path) -> SigningSecret:
    """The identity recovery key of a node or maintainer, likewise."""
    return SigningSecret(_whole(paths, RecoverySort.IDENTITY).secret.reveal())


def parse_recovery(text: str) -> SealSecret:
    """The mailbox recovery key from the text of its file, or of both halves. WrongSecretError for anything else."""
    place = "what was given"
    try:
        parts = decode_recovery_file(text)
        if not parts or any(part.sort is not RecoverySort.MAILBOX for part in parts):
            raise RemoteProtocolError(Reason.MISMATCH)
    except RemoteProtocolError as error:
        if error.detail.startswith("the code "):
            # It is one: somebody typed it from paper, or copied a part of it.
            raise WrongSecretError(error.detail, hint="compare it with the file, character by character") from error
        raise WrongSecretError(
            _not_one(place, RecoverySort.MAILBOX), hint="use the mailbox recovery file made at init"
        ) from error
    return SealSecret(_joined(parts, place).secret.reveal())
