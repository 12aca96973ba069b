"""The node's keys and the certificate of its pages: until when, and renewing them. Spec: spec/staff.md, 6.12."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError, StateError
from node.identity.key_change import renewal_due_ms
from node.reports.rendering import N_
from node.web.certificate import certificate_end, certificate_fingerprint, make_web_certificate
from node.web.server import WebFiles, web_files
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed
from protocol.statement import node_digits

__all__ = ["KEYS_PATH", "KeyPages"]

KEYS_PATH: Final = "/admin/keys"
_DAY_MS: Final = 86_400_000
_DONE: Final = {
    "renewed": N_("The node has new keys. Make a backup: an older one does not hold them."),
    "certificate": N_("There is a new certificate for the pages. It counts after coffre reload, or the next start."),
}


@dataclass(frozen=True, slots=True)
class KeyPages:
    """/staff/admin/keys"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, KEYS_PATH, self.show),
            action(ADMINISTRATOR, f"{KEYS_PATH}/renew", self.renew),
            action(ADMINISTRATOR, f"{KEYS_PATH}/certificate", self.renew_certificate),
        ]

    def _files(self) -> WebFiles:
        return web_files(self.desk.node.folder, self.desk.node.settings.web)

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """What there is, until when, and what is to be done by people."""
        node, files = self.desk.node, self._files()
        chain, now_ms = node.keyring.chain, node.world.now_ms()
        certificate, problem = None, None
        if not node.settings.web.behind_proxy:
            try:
                certificate = (certificate_end(files.certificate), certificate_fingerprint(files.certificate))
            except ConfigError as error:
                problem = error
        return self.desk.show(
            request,
            "staff/keys.html",
            visit,
            digits=node_digits(node.node_id),
            statements=[*chain.statements[::-1]],
            cancelled=chain.superseded,
            current=chain.current,
            days_left=(chain.current.valid_until_ms - now_ms) // _DAY_MS,
            due_ms=renewal_due_ms(chain),
            renews_itself=node.settings.keys.renew,
            certificate=certificate,
            certificate_days=None if certificate is None else (certificate[0] - now_ms) // _DAY_MS,
            is_own=files.own,
            behind_proxy=node.settings.web.behind_proxy,
            problem=problem,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def renew(self, request: Request, visit: StaffVisit) -> Response:
        """New keys for the node now."""
        form, say = await request.form(), self.desk.text
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Renew the node's keys now?")),
                points=[
                    say(request, N_("Other institutions take the new keys up by themselves; the digits stay.")),
                    say(request, N_("A backup of before does not hold the new keys: make one afterwards.")),
                    say(request, N_("After a theft this is not enough: the new keys are signed by the stolen ones.")),
                ],
                button=say(request, N_("Renew the keys")),
                back=f"/staff{KEYS_PATH}",
            )
        await self.desk.node.key_keeper.renew()
        return self.desk.done(KEYS_PATH, "renewed")

    async def renew_certificate(self, request: Request, visit: StaffVisit) -> Response:
        """Another certificate for the pages, where the node makes its own."""
        form, node, files, say = await request.form(), self.desk.node, self._files(), self.desk.text
        if not files.own or node.settings.web.behind_proxy:
            raise StateError("the certificate is not the node's own", hint="renew it where it comes from")
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Make a new certificate for the pages?")),
                points=[
                    say(request, N_("Browsers that were told to trust the present one ask again.")),
                    say(request, N_("Auditors who were given its fingerprint are to be admitted again.")),
                    say(request, N_("It counts once the settings are read anew: coffre reload, or the next start.")),
                ],
                button=say(request, N_("Make a new certificate")),
                back=f"/staff{KEYS_PATH}",
            )
        names = node.settings.web.host_names(node.web_listening_on or node.settings.web.listen)
        now_ms, run = node.world.now_ms(), node.world.run_blocking
        await run(lambda: make_web_certificate(files.certificate, files.key, names, now_ms=now_ms))
        await self.desk.note(visit, "certificate of the pages renewed")
        return self.desk.done(KEYS_PATH, "certificate")
