"""Relays that this node names, and clients that it keeps letters for. Spec: spec/staff.md, 6.6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import StateError
from node.relay.clients import Admission
from node.reports.rendering import N_
from node.sizes import parse_size
from node.vault.directory import named_relays
from node.vault.peers import Peer
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, node_of, number

__all__ = ["RELAYS_PATH", "RelayPages"]

RELAYS_PATH: Final = "/admin/relays"
_DAY_MS: Final = 86_400_000
_DONE: Final = {
    "admitted": N_("Letters for it may wait here. It must name this node too."),
    "removed": N_("Nothing is kept for it any more."),
    "used": N_("It is named as a relay. Its administrator must admit this node."),
    "left": N_("It is named as a relay no more."),
}


@dataclass(frozen=True, slots=True)
class RelayPages:
    """/staff/admin/relays"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, RELAYS_PATH, self.show),
            action(ADMINISTRATOR, f"{RELAYS_PATH}/admit", self.admit),
            action(ADMINISTRATOR, f"{RELAYS_PATH}/use", self.use),
            action(ADMINISTRATOR, f"{RELAYS_PATH}/{{node}}/remove", self.remove),
            action(ADMINISTRATOR, f"{RELAYS_PATH}/{{node}}/leave", self.leave),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """Both lists, and the forms."""
        node = self.desk.node
        peers = await node.database.read(node.peers.all)
        return self.desk.show(
            request,
            "staff/relays.html",
            visit,
            uses=await node.database.read(named_relays, node.directory, node.node_id),
            clients=await node.database.read(node.relay_clients.all),
            names={peer.node_id: peer.institution for peer in peers},
            peers=[peer for peer in peers if peer.status == "accepted"],
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def _accepted(self, text: str) -> Peer:
        peer = await self.desk.node.database.read(self.desk.node.peers.find, text)
        if peer.status != "accepted":
            raise StateError(f"{peer.institution} is not accepted", hint="accept its invitation first")
        return peer

    async def admit(self, request: Request, visit: StaffVisit) -> Response:
        """Keep letters for a client; again: change its quotas."""
        del visit
        form = await request.form()
        peer = await self._accepted(line(form, "peer"))
        letters, days = (number(form, name) for name in ("letters", "days"))
        admission = Admission(
            node=peer.node_id,
            quota_bytes=parse_size(line(form, "size")),
            quota_letters=letters,
            max_age_ms=days * _DAY_MS,
        )
        await self.desk.node.database.write(self.desk.node.relay_clients.admit, admission)
        return self.desk.done(RELAYS_PATH, "admitted")

    async def use(self, request: Request, visit: StaffVisit) -> Response:
        """Name a relay in this institution's entry."""
        del visit
        peer = await self._accepted(line(await request.form(), "peer"))
        await self.desk.node.database.write(self.desk.node.relay_clients.use, peer.node_id)
        return self.desk.done(RELAYS_PATH, "used")

    async def remove(self, request: Request, visit: StaffVisit) -> Response:
        """Keep letters for a client no more."""
        form, node, wanted, say = await request.form(), self.desk.node, node_of(request), self.desk.text
        peer = await node.database.read(node.peers.find, wanted.text)
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Keep letters for {institution} no more?"), institution=peer.institution),
                points=[say(request, N_("Those that wait here are dropped; their senders still have them."))],
                button=say(request, N_("Keep letters for it no more")),
                back=f"/staff{RELAYS_PATH}",
            )
        await node.database.write(node.relay_clients.remove, wanted)
        return self.desk.done(RELAYS_PATH, "removed")

    async def leave(self, request: Request, visit: StaffVisit) -> Response:
        """Name a relay no more."""
        form, node, wanted, say = await request.form(), self.desk.node, node_of(request), self.desk.text
        peer = await node.database.read(node.peers.find, wanted.text)
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Name {institution} as a relay no more?"), institution=peer.institution),
                points=[say(request, N_("It gives up what waits there; the senders still have it."))],
                button=say(request, N_("Name it no more")),
                back=f"/staff{RELAYS_PATH}",
            )
        await node.database.write(node.relay_clients.leave, wanted)
        return self.desk.done(RELAYS_PATH, "left")
