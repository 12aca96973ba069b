"""Other institutions: this node's invitation, accepting theirs, removing; nodes found on the network.

Spec: spec/staff.md, 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.discovery.lan import find_nodes
from node.errors import ConfigError
from node.reports.rendering import N_
from node.trust.meeting import accept_invite, check_digits, oddities, proposal_of
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, node_of, text
from protocol.invite import decode_invite
from protocol.statement import node_digits

__all__ = ["PEERS_PATH", "PeerPages"]

PEERS_PATH: Final = "/admin/institutions"
_LISTEN_S: Final = 3
_MAX_INVITE: Final = 200_000
_DONE: Final = {
    "accepted": N_("The institution is accepted. It must accept this node's invitation too."),
    "removed": N_("The institution is accepted no longer."),
}


@dataclass(frozen=True, slots=True)
class PeerPages:
    """/staff/admin/institutions"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, PEERS_PATH, self.show),
            page(ADMINISTRATOR, f"{PEERS_PATH}/invitation", self.invitation),
            action(ADMINISTRATOR, f"{PEERS_PATH}/invitation", self.download),
            page(ADMINISTRATOR, f"{PEERS_PATH}/accept", self.show_accept),
            action(ADMINISTRATOR, f"{PEERS_PATH}/accept", self.accept),
            action(ADMINISTRATOR, f"{PEERS_PATH}/{{node}}/remove", self.remove),
            page(ADMINISTRATOR, f"{PEERS_PATH}/found", self.show_found),
            action(ADMINISTRATOR, f"{PEERS_PATH}/found", self.look_around),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All institutions that were ever accepted, how they are reached, and what is odd about them."""
        node = self.desk.node
        peers = await node.database.read(node.peers.all)
        return self.desk.show(
            request,
            "staff/institutions.html",
            visit,
            peers=peers,
            warnings=await node.database.read(oddities, peers, node.settings.domain),
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def invitation(self, request: Request, visit: StaffVisit) -> Response:
        """This node's invitation, and the digits to read out."""
        node = self.desk.node
        return self.desk.show(
            request, "staff/invitation.html", visit, invite=node.invitation(), digits=node_digits(node.node_id)
        )

    async def download(self, request: Request, visit: StaffVisit) -> Response:
        """The same as a file. On record: it is what others accept this institution by."""
        del request
        await self.desk.note(visit, "invitation handed out")
        headers = {"Content-Disposition": f'attachment; filename="{self.desk.node.settings.domain}.coffre-invite"'}
        return Response(self.desk.node.invitation() + "\n", media_type="text/plain; charset=us-ascii", headers=headers)

    async def show_accept(self, request: Request, visit: StaffVisit) -> Response:
        """The form."""
        return self.desk.show(request, "staff/accept.html", visit, proposal=None, invite="")

    async def accept(self, request: Request, visit: StaffVisit) -> Response:
        """First show who made the invitation; then accept it, if the digits are those that were read out."""
        form, node = await request.form(), self.desk.node
        pasted = text(form, "invite", _MAX_INVITE).strip()
        invite = decode_invite(pasted)
        proposal = await proposal_of(node, invite)
        if not is_confirmed(form):
            return self.desk.show(request, "staff/accept.html", visit, proposal=proposal, invite=pasted)
        if proposal.warnings and form.get("odd") != "yes":
            raise ConfigError("nothing was accepted: tick the box that you asked about what is odd")
        # Typed, not clicked: who only clicks has not compared.
        check_digits(line(form, "digits"), proposal.node_id)
        await accept_invite(node, invite)
        return self.desk.done(PEERS_PATH, "accepted")

    async def remove(self, request: Request, visit: StaffVisit) -> Response:
        """Accept it no longer."""
        form, node, wanted, say = await request.form(), self.desk.node, node_of(request), self.desk.text
        peer = await node.database.read(node.peers.find, wanted.text)
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(
                    request, N_("Remove {institution} ({domain})?"), institution=peer.institution, domain=peer.domain
                ),
                points=[
                    say(request, N_("Its links end, and its letters are refused from now on.")),
                    say(request, N_("Letters to it wait until it is accepted again, or expire.")),
                    say(request, N_("What it sent stays. To undo this, accept its invitation again.")),
                ],
                button=say(request, N_("Remove the institution")),
                back=f"/staff{PEERS_PATH}",
            )
        await node.database.write(node.peers.remove, wanted)
        return self.desk.done(PEERS_PATH, "removed")

    async def show_found(self, request: Request, visit: StaffVisit) -> Response:
        """What looking around the network does."""
        return self.desk.show(request, "staff/found.html", visit, found=None, announces=self._announces)

    @property
    def _announces(self) -> bool:
        return self.desk.node.settings.discovery.announce

    async def look_around(self, request: Request, visit: StaffVisit) -> Response:
        """Listen for nodes on the local network for three seconds. What they say is a hint, not proof."""
        node = self.desk.node
        known = {peer.node_id: peer for peer in await node.database.read(node.peers.all)}
        nodes = await find_nodes(node.settings.discovery, node.world, within_s=_LISTEN_S)
        found = [(item, known.get(item.node_id)) for item in nodes if item.node_id != node.node_id]
        return self.desk.show(request, "staff/found.html", visit, found=found, announces=self._announces)
