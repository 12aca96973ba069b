"""Trusted maintainers and what they say, as people look at it. Spec: spec/directory.md, 12."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from directory_sync.trust import HEAD_AHEAD_MS, HEAD_STALE_AFTER_MS, HEAD_WARNED_AFTER_MS, Finding
from node.errors import StateError
from node.expiry import warned_within
from node.trust.maintainer_rows import Maintainer
from protocol.entry import MAINTAINER_SUBJECT, MaintainerEntry
from protocol.feed_file import FeedFile, decode_feed_file
from protocol.statement import node_digits

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["MaintainerFile", "MaintainerView", "MaintainerWarning", "maintainers", "read_maintainer", "warned_days"]


class MaintainerWarning(StrEnum):
    """Why a maintainer is to be looked at; the value is what the command line says."""

    ALARM = "ALARM: two histories; its new endorsements do not count"
    AHEAD = "dated in the future: its new endorsements do not count"
    STALE = "not dated for 14 days: its new endorsements do not count"
    LATE = "not dated for 3 days"


@dataclass(frozen=True, slots=True)
class MaintainerView:
    """A maintainer, since when its head is dated (0: not), and what is odd about it."""

    maintainer: Maintainer
    dated_ms: int
    warning: MaintainerWarning | None


def _warning(item: Maintainer, age_ms: int) -> MaintainerWarning | None:
    if item.alarm is not None:
        return MaintainerWarning.ALARM
    if item.status != "trusted":
        return None
    if age_ms < -HEAD_AHEAD_MS:
        return MaintainerWarning.AHEAD
    if age_ms > HEAD_STALE_AFTER_MS:
        return MaintainerWarning.STALE
    return MaintainerWarning.LATE if age_ms > HEAD_WARNED_AFTER_MS else None


async def maintainers(node: Node) -> list[MaintainerView]:
    """All that this node trusts, or trusted."""
    now_ms = node.world.now_ms()
    known = await node.database.read(node.trust.maintainers.all)
    views = await node.database.read(node.trust.maintainers.views)
    dated = {view.chain.node_id: view.dated_ms for view in views}
    return [
        MaintainerView(item, dated.get(item.node_id, 0), _warning(item, now_ms - dated.get(item.node_id, 0)))
        for item in known
    ]


def warned_days(finding: Finding, now_ms: int) -> int | None:
    """Within how many days (7, 30, 60) what vouches for an institution ends; None: later, or never."""
    return warned_within(finding.until_ms, now_ms) if finding.until_ms else None


@dataclass(frozen=True, slots=True)
class MaintainerFile:
    """A maintainer's feed file that verified. digits: to compare by telephone."""

    feed: FeedFile
    entry: MaintainerEntry
    digits: str


def read_maintainer(raw: bytes) -> MaintainerFile:
    """A maintainer's feed file. StateError if it is another sort of feed, RemoteProtocolError if it is none."""
    feed = decode_feed_file(raw)
    live = feed.state.live.get(MAINTAINER_SUBJECT)
    if live is None or live.operation.entry is None:
        raise StateError("the file is no maintainer's feed", hint="made by: coffre maintainer publish DIR --out FILE")
    return MaintainerFile(feed, MaintainerEntry.decode(live.operation.entry), node_digits(feed.chain.node_id))
