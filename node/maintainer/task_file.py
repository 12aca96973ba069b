"""What is to be signed where the offline key is, as a file to carry there. Spec: spec/desks.md, 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.errors import StateError
from node.maintainer.desk import Desk
from node.maintainer.keys import OfflineKey
from protocol.codec import FieldReader, Value, decode_map, encode
from protocol.entry import MAX_ENTRY_BYTES, Act, RevocationReason, SignedStanding
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.invite import Invite, decode_invite
from protocol.statement import StatementChain

__all__ = ["MAX_DAYS", "EndorseTask", "RenewTask", "RevokeTask", "Task", "decode_tasks", "encode_tasks", "sign_task"]

MAX_DAYS: Final = 396
_MAX_ACTS: Final = 500
_MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_INVITE_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class EndorseTask:
    """Vouch for who sent an invitation (text)."""

    invite_text: str
    kind: str
    region: str
    days: int

    @property
    def invite(self) -> Invite:
        """The invitation. RemoteProtocolError."""
        return decode_invite(self.invite_text)

    @property
    def node(self) -> NodeId:
        """Of whom."""
        return self.invite.chain.node_id

    @property
    def name(self) -> str:
        """The institution's name."""
        return self.invite.institution


@dataclass(frozen=True, slots=True)
class RenewTask:
    """Prolong an endorsement: the signed entry as it stands."""

    signed: SignedStanding
    days: int

    @property
    def node(self) -> NodeId:
        """Of whom."""
        return self.signed.standing.node

    @property
    def name(self) -> str:
        """The institution's name."""
        endorsed = self.signed.standing.endorsed
        return self.node.text[:16] if endorsed is None else endorsed.name


@dataclass(frozen=True, slots=True)
class RevokeTask:
    """Take an endorsement back."""

    node: NodeId
    reason: RevocationReason

    @property
    def name(self) -> str:
        """The file names the node alone."""
        return self.node.text[:16]


Task = EndorseTask | RenewTask | RevokeTask


def encode_tasks(by: NodeId, tasks: Sequence[Task]) -> bytes:
    """The file. by: the maintainer."""
    return encode({"v": 1, "by": bytes(by), "acts": [_fields(task) for task in tasks]})


def _fields(task: Task) -> dict[str, Value]:
    if isinstance(task, EndorseTask):
        fields: dict[str, Value] = {"act": "endorse", "node": bytes(task.node), "invite": task.invite_text}
        return fields | {"kind": task.kind, "region": task.region, "days": task.days}
    if isinstance(task, RenewTask):
        return {"act": "renew", "node": bytes(task.node), "standing": task.signed.raw, "days": task.days}
    return {"act": "revoke", "node": bytes(task.node), "reason": task.reason.value}


def decode_tasks(raw: bytes, chain: StatementChain) -> list[Task]:
    """Read a file from outside. chain: the maintainer's own, whose word a renewal prolongs.

    RemoteProtocolError: malformed, not_canonical, mismatch (for another maintainer, or an act of another node), and
    what invitations and standings raise.
    """
    fields = decode_map(raw, max_bytes=_MAX_BYTES)
    fields.version()
    if fields.fixed("by", NodeId.LENGTH) != chain.node_id:
        raise RemoteProtocolError(Reason.MISMATCH, "the task is for another maintainer")
    acts = fields.items("acts", low=1, high=_MAX_ACTS)
    fields.done()
    return [_task(FieldReader(item), chain) for item in acts]


def _task(fields: FieldReader, chain: StatementChain) -> Task:
    act = fields.choice("act", ("endorse", "renew", "revoke"))
    node = NodeId(fields.fixed("node", NodeId.LENGTH))
    task: Task
    if act == "endorse":
        task = EndorseTask(
            fields.text("invite", low=1, high=_MAX_INVITE_BYTES),
            fields.text("kind", low=1, high=_MAX_LINE_BYTES),
            fields.text("region", high=_MAX_LINE_BYTES),
            fields.integer("days", low=1, high=MAX_DAYS),
        )
    elif act == "renew":
        signed = SignedStanding.decode(fields.binary("standing", low=1, high=MAX_ENTRY_BYTES))
        if signed.verify(chain).act is not Act.ENDORSE:
            raise RemoteProtocolError(Reason.MISMATCH, "only an endorsement can be prolonged")
        task = RenewTask(signed, fields.integer("days", low=1, high=MAX_DAYS))
    else:
        task = RevokeTask(node, RevocationReason(fields.choice("reason", list(RevocationReason))))
    fields.done()
    if task.node != node:
        raise RemoteProtocolError(Reason.MISMATCH, "an act is of another node than it names")
    return task


def sign_task(desk: Desk, task: Task, key: OfflineKey) -> bytes:
    """The signed entry. StateError, ConfigError as the desk's own."""
    if isinstance(task, EndorseTask):
        return desk.endorse(task.invite, key, kind=task.kind, region=task.region, days=task.days)
    if isinstance(task, RenewTask):
        return desk.renew(task.signed.standing, key, days=task.days)
    if not isinstance(task, RevokeTask):
        raise StateError("there is nothing else to sign")
    return desk.revoke(task.node, key, task.reason)
