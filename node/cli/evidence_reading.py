"""Evidence files as commands read them: from disk, verified with what the reader knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.errors import ConfigError

if TYPE_CHECKING:
    from protocol.content_report import DisclosedLetter
    from protocol.evidence_file import EvidenceFile
    from protocol.evidence_findings import Report
    from protocol.ids import NodeId
    from protocol.timestamp import TsaRoots

__all__ = [
    "DisclosedOption",
    "EvidenceArgument",
    "Examined",
    "NodeOption",
    "TsaOption",
    "examine",
    "expected_nodes",
    "parse_file",
    "read_bytes",
]

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
EvidenceArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An evidence file.")]
NodeOption = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="ID|DIGITS", help="A node that must be the signer; may be given again."),
]
TsaOption = Annotated[
    list[Path] | None,
    typer.Option("--tsa-ca", metavar="FILE", help="Certificate of a timestamping authority's CA (PEM), to trust."),
]
DisclosedOption = Annotated[
    Path | None,
    typer.Option("--disclosed", metavar="FILE", help="What `evidence disclose` wrote: the letter's content."),
]


@dataclass(frozen=True, slots=True)
class Examined:
    """An evidence file: its bytes, what it holds, what that comes to, and the content if it was disclosed."""

    raw: bytes
    file: EvidenceFile
    report: Report
    content: DisclosedLetter | None


def read_bytes(path: Path) -> bytes:
    """A file's bytes, no more than any of these files may have and one. ConfigError."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def parse_file(path: Path, raw: bytes) -> EvidenceFile:
    """The evidence file. ConfigError if it is none."""
    from protocol.errors import RemoteProtocolError
    from protocol.evidence_file import parse_evidence_file

    try:
        return parse_evidence_file(raw)
    except RemoteProtocolError as error:
        message = f"{path} is not a valid evidence file: {error.detail or error.reason.value}"
        raise ConfigError(message, hint="it was altered or cut") from error


def examine(
    path: Path,
    *,
    nodes: Sequence[str] | None,
    tsa_ca: Sequence[Path] | None,
    disclosed: Path | None,
    raw: bytes | None = None,
) -> Examined:
    """Read and verify an evidence file, and what was disclosed of its letter.

    nodes: what the reader says of the signers. tsa_ca: files with the authorities' certificates. ConfigError.
    """
    from protocol.evidence_report import verify_evidence_file

    data = read_bytes(path) if raw is None else raw
    file = parse_file(path, data)
    expected = None if nodes is None else expected_nodes(nodes, [item.node for item in file.nodes])
    report = verify_evidence_file(file, expected_nodes=expected, tsa_roots=_roots(tsa_ca))
    content = None if disclosed is None else _opened(disclosed, path, report, expected)
    return Examined(data, file, report, content)


def _roots(paths: Sequence[Path] | None) -> TsaRoots | None:
    if not paths:
        return None
    from node.audit.timestamping import read_tsa_roots

    first, *others = [read_tsa_roots(path) for path in paths]
    return sum(others, first)


def _opened(path: Path, evidence: Path, report: Report, expected: Sequence[NodeId] | None) -> DisclosedLetter:
    from protocol.content_file import parse_content_file
    from protocol.content_report import verify_content
    from protocol.errors import RemoteProtocolError

    raw = read_bytes(path)
    try:
        parsed = parse_content_file(raw)
    except RemoteProtocolError as error:
        message = f"{path} discloses nothing: {error.detail or error.reason.value}"
        raise ConfigError(message, hint="it was altered, cut, or is another file") from error
    try:
        return verify_content(parsed, report, expected_nodes=expected)
    except RemoteProtocolError as error:
        message = f"{path} is not the content that {evidence} is about: {error.detail or error.reason.value}"
        raise ConfigError(message, hint=f"code: {error.reason.value}") from error


def expected_nodes(texts: Sequence[str], present: Sequence[NodeId]) -> list[NodeId]:
    """The nodes that the reader names by id or digits. ConfigError for what is neither, or for digits of none here."""
    from protocol.ids import NodeId
    from protocol.statement import node_digits, parse_digits

    found: list[NodeId] = []
    for text in texts:
        try:
            digits = parse_digits(text)
        except ValueError:
            try:
                found.append(NodeId.from_text(text.strip().lower()))
            except ValueError:
                raise ConfigError(f"--node {text!r} is neither 30 digits nor a node's id") from None
            continue
        matching = [item for item in present if node_digits(item) == digits]
        if not matching:
            raise ConfigError(f"no node in this file has the fingerprint {digits}")
        found += matching
    return found
