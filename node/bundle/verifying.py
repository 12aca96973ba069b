"""Checking a bundle without a node: signature, contents, every hash. Spec: spec/bundle.md, 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from node.errors import BundleError
from protocol.bundle import Manifest, MemberKind
from protocol.bundle_archive import ArchiveReader
from protocol.errors import RemoteProtocolError
from protocol.statement import node_digits

__all__ = ["BundleCheck", "SectionCheck", "verify_bundle"]


@dataclass(slots=True)
class SectionCheck:
    """What one section holds, as far as it was checked. classes: envelopes by class. bytes: of payloads."""

    manifest: Manifest
    parts: int = 0
    letters: int = 0
    bytes: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    is_whole: bool = False


@dataclass(slots=True)
class BundleCheck:
    """A bundle read to its end, or as far as it is whole: broken says why it ends there, empty if it does not."""

    sections: list[SectionCheck] = field(default_factory=list)
    bytes: int = 0
    broken: str = ""

    @property
    def sender_digits(self) -> str:
        """The 30 digits of the writer, to compare by telephone; empty before a manifest was read."""
        return node_digits(self.sections[0].manifest.sender) if self.sections else ""


def verify_bundle(path: Path, *, progress: Callable[[int], None] = lambda _done: None) -> BundleCheck:
    """Check a file. Blocks. BundleError if it cannot be opened; everything else is told in the result."""
    found = BundleCheck()
    try:
        with path.open("rb") as stream:
            archive = ArchiveReader(stream.read)
            while (section := archive.next_section()) is not None:
                check = SectionCheck(section.manifest)
                found.sections.append(check)
                while (member := section.next_member()) is not None:
                    index, row = member
                    if row.kind is MemberKind.ENVELOPE:
                        envelope, _ = section.envelope(index)
                        for chunk in section.chunks():
                            check.bytes += len(chunk)
                            progress(archive.position)
                        check.letters += 1
                        check.classes[envelope.head.letter_class.value] += 1
                    else:
                        section.small(index)
                        check.parts += 1
                    progress(archive.position)
                check.is_whole = True
            found.bytes = archive.position
    except RemoteProtocolError as error:
        found.broken = str(error)
    except OSError as error:
        if not found.sections:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error
        found.broken = f"read error: {error.strerror}"
    return found
