"""Opening a mailbox whose password is lost, or whose keys were stolen, with the institution's recovery key.

Spec: spec/staff.md, 6.2. The key's secret half lies in a safe: it is given for one action, and kept nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, ConfigError
from node.recovery_files import parse_recovery
from node.vault import ways
from node.web.staff.admin_mailboxes import MAILBOX_PATH, mailbox_of
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import line, text, upload_all
from protocol.crypto import Secret

__all__ = ["RecoveryPages"]

_MAX_KEY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class RecoveryPages:
    """/staff/admin/mailboxes/<mailbox>/recover"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        path = f"{MAILBOX_PATH}/{{mailbox}}/recover"
        return [
            self.desk.page(ADMINISTRATOR, path, self.show),
            self.desk.action(ADMINISTRATOR, path, self.recover, token_in_body=True),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """What it does, the first password to be handed out, and where the key goes."""
        return await self._page(request, visit)

    async def _page(
        self, request: Request, visit: StaffVisit, *, what: str = "recover", error: CoffreError | None = None
    ) -> Response:
        return self.desk.show(
            request,
            "staff/recover.html",
            visit,
            status=200 if error is None else 422,
            mailbox=await mailbox_of(self.desk, request),
            # Another one with each showing: one that was seen with a wrong key opens nothing.
            password=ways.draw_first_password(self.desk.node.world.random_bytes).reveal().decode(),
            what=what,
            error=error,
        )

    async def recover(self, request: Request, visit: StaffVisit) -> Response:
        """A new first password (recover), or new keys too (reset)."""
        form, data = await upload_all(request, visit, "file", most_bytes=_MAX_KEY_BYTES)
        mailbox, what = await mailbox_of(self.desk, request), line(form, "what")
        # Of two halves one may come as a file, the other pasted.
        given = data.decode("utf-8", "replace") + "\n" + text(form, "pasted", _MAX_KEY_BYTES)
        first = Secret(line(form, "first_password").encode())
        try:
            if form.get("sure") != "yes":
                raise ConfigError("tick the box that you checked who asks")
            key = parse_recovery(given)
            if what == "reset":
                await self.desk.node.mailbox_recovery.reset_keys(mailbox.address, key, first, is_first=True)
            else:
                await self.desk.node.mailbox_recovery.recover(mailbox.address, key, first, is_first=True)
        except CoffreError as error:
            return await self._page(request, visit, what=what, error=error)
        return self.desk.done(f"{MAILBOX_PATH}/{mailbox.id.hex()}", "reset" if what == "reset" else "recovered")
