"""Signed files that were carried here, and the feed: dated and handed on. Spec: spec/desks.md, 7."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError
from node.maintainer.desk import Desk
from node.maintainer.keys import open_coming
from node.maintainer.signed_file import decode_signed
from node.reports.rendering import N_
from node.web.staff.desk import MAINTAINER, StaffDesk, StaffVisit
from node.web.staff.forms import upload
from node.web.staff.maintainer_desk import MAINTAINER_PATH, MaintainerDoor, passphrase_in
from protocol.codec import decode_map
from protocol.cosignature import cosigned_at_s, witness_name
from protocol.entry import SignedStanding, Standing
from protocol.errors import RemoteProtocolError
from protocol.feed_file import MAX_FEED_FILE_BYTES, decode_feed_file

__all__ = ["PUBLISH_PATH", "PublishPages"]

PUBLISH_PATH: Final = f"{MAINTAINER_PATH}/publish"
_MAX_SIGNED_BYTES: Final = 4 * 1024 * 1024
_DONE: Final = {
    "published": N_("Published, dated today, and handed to this node."),
    "published_alone": N_(
        "Published and dated today. This node does not trust the maintainer: hand the feed on as a file."
    ),
}


@dataclass(frozen=True, slots=True)
class PublishPages:
    """/staff/maintainer/publish"""

    desk: StaffDesk

    @property
    def door(self) -> MaintainerDoor:
        """To the maintainer's folder."""
        return MaintainerDoor(self.desk)

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, opened = self.desk.page, self.desk.action, self.door.opened
        return [
            page(MAINTAINER, PUBLISH_PATH, opened(self.show)),
            action(MAINTAINER, PUBLISH_PATH, opened(self.look), token_in_body=True),
            action(MAINTAINER, f"{PUBLISH_PATH}/do", opened(self.publish)),
            page(MAINTAINER, f"{PUBLISH_PATH}/maintainer.coffre-feed", opened(self.feed)),
        ]

    def _page(self, request: Request, visit: StaffVisit, desk: Desk, **values: Any) -> Response:
        error = values.get("error")
        shown = {"error": None, "standings": None, "carried": "", "new_keys": False, **values}
        return self.desk.show(
            request,
            "staff/maintainer_publish.html",
            visit,
            status=200 if error is None else 422,
            dated_ms=_dated_ms(desk),
            operations=len(desk.standings()),
            done=None if error else _DONE.get(request.query_params.get("done", "")),
            **shown,
            **self.door.keys_here,
        )

    async def show(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """When it was dated, and the forms."""
        return self._page(request, visit, desk)

    async def look(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """What a signed file holds. Nothing is published yet."""
        form, data = await upload(request, visit, "file", most_bytes=_MAX_SIGNED_BYTES)
        del form
        try:
            standings, new_keys = _read(data, desk)
        except RemoteProtocolError as problem:
            error = ConfigError(f"this is no signed file of this maintainer: {problem.detail or problem.reason.value}")
            return self._page(request, visit, desk, error=error)
        carried = base64.b64encode(data).decode()
        named = [(item, desk.name(item)) for item in standings]
        return self._page(request, visit, desk, standings=named, new_keys=new_keys, carried=carried)

    async def publish(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Take in what was looked at, if anything, date the feed, hand it to this node."""
        form = await request.form()
        try:
            data = base64.b64decode(str(form.get("carried", "")), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError("the form is damaged", hint="choose the file again") from None
        passphrase = passphrase_in(form)
        entries: list[bytes] = []
        if data:
            coming = await self.desk.node.world.run_blocking(lambda: open_coming(data, passphrase, name="the file"))
            if coming is not None:
                await self.desk.node.world.run_blocking(desk.take_keys, coming, passphrase)
                await self.desk.note(visit, "maintainer: new keys")
            else:
                entries = decode_signed(data)
        keys = await self.door.online(desk, passphrase)
        return self.desk.done(PUBLISH_PATH, await self.door.publish(visit, desk, entries, keys))

    async def feed(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """The feed as a file, for nodes that are told by hand."""
        del request, visit
        headers = {"Content-Disposition": 'attachment; filename="maintainer.coffre-feed"'}
        return Response(desk.feed_file, media_type="application/octet-stream", headers=headers)


def _read(data: bytes, desk: Desk) -> tuple[list[Standing], bool]:
    """What a file from the offline machine holds, and whether it is new keys. RemoteProtocolError."""
    if "statement" in decode_map(data, max_bytes=MAX_FEED_FILE_BYTES):
        return [], True
    return [SignedStanding.decode(raw).verify(desk.chain) for raw in decode_signed(data)], False


def _dated_ms(desk: Desk) -> int:
    head = decode_feed_file(desk.feed_file).head
    key = desk.chain.current.witness_key
    try:
        return cosigned_at_s(head, name=witness_name(desk.chain.node_id), key=key) * 1000
    except RemoteProtocolError:
        return 0
