"""The invitations that wait at a maintainer's desk. Spec: spec/directory.md, 7.

`requests/` in the maintainer's folder: one file for each institution, as its invitation came.
"""

from __future__ import annotations

from pathlib import Path

from node.errors import NotFoundError
from node.folder import write_private
from protocol.ids import NodeId
from protocol.invite import Invite, decode_invite

__all__ = ["RequestBox"]


class RequestBox:
    """Requests for an endorsement, until they are decided on."""

    def __init__(self, desk: Path) -> None:
        self._desk = desk
        self._folder = desk / "requests"

    def make(self) -> None:
        """The folder, once for each desk."""
        self._folder.mkdir(mode=0o700)

    def add(self, text: str) -> Invite:
        """Keep an institution's invitation until it is decided on. RemoteProtocolError for what is none."""
        invite = decode_invite(text)
        write_private(self._folder / f"{invite.chain.node_id.text}.invite", text.strip().encode() + b"\n")
        return invite

    def all(self) -> list[Invite]:
        """The invitations that wait, by institution's name."""
        found = [decode_invite(path.read_text("ascii")) for path in self._folder.glob("*.invite")]
        return sorted(found, key=lambda invite: invite.institution)

    def find(self, text: str) -> Invite:
        """A request by domain, institution's name or the beginning of the id. NotFoundError if not exactly one."""
        wanted = text.strip().lower()
        found = [
            invite
            for invite in self.all()
            if invite.chain.node_id.text.startswith(wanted) or wanted in (invite.domain, invite.institution.lower())
        ]
        if len(found) != 1:
            word = "no request is" if not found else "several requests are"
            raise NotFoundError(f"{word} {text!r}", hint=f"see: coffre maintainer requests {self._desk}")
        return found[0]

    def text(self, node: NodeId) -> str:
        """An invitation that waits, as it came. NotFoundError."""
        try:
            return (self._folder / f"{node.text}.invite").read_text("ascii").strip()
        except OSError as error:
            raise NotFoundError(f"no request of {node.text[:12]}… waits") from error

    def drop(self, node: NodeId) -> None:
        """Forget a request."""
        (self._folder / f"{node.text}.invite").unlink(missing_ok=True)
