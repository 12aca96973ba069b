"""What the maintainer's pages share: the desk, its keys, signing here or by a file. Spec: spec/desks.md, 7."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from node.errors import ConfigError, StateError
from node.maintainer.desk import Desk
from node.maintainer.keys import OfflineKey, OnlineKeys
from node.maintainer.task_file import Task, encode_tasks, sign_task
from node.web.pages.form_desk import SAFE_METHODS, ForbiddenError
from node.web.pages.log_in import MAX_PASSWORD_BYTES
from node.web.staff.desk import StaffDesk, StaffVisit
from protocol.crypto import Secret

__all__ = ["MAINTAINER_PATH", "MaintainerDoor", "passphrase_in"]

MAINTAINER_PATH: Final = "/maintainer"
MaintainerView = Callable[[Request, StaffVisit, Desk], Awaitable[Response]]


def passphrase_in(form: FormData) -> Secret:
    """What was typed for one action; kept nowhere. ConfigError for nothing."""
    text = str(form.get("passphrase", "")).encode()
    if not text or len(text) > MAX_PASSWORD_BYTES:
        raise ConfigError("type the passphrase of the maintainer's keys")
    return Secret(text)


@dataclass(frozen=True, slots=True)
class MaintainerDoor:
    """Opens the desk anew for each request: a command may have changed it."""

    desk: StaffDesk

    @property
    def folder(self) -> Path | None:
        """Where the desk lies; None if the settings name none."""
        node = self.desk.node
        named = node.settings.web.maintainer_desk
        return node.folder.path / named if named else None

    def has(self, name: str) -> bool:
        """Whether a key file lies in the folder."""
        return self.folder is not None and (self.folder / name).exists()

    @property
    def keys_here(self) -> dict[str, bool]:
        """For pages: which keys lie in the folder."""
        return {"offline_here": self.has("offline.key"), "online_here": self.has("online.key")}

    def opened(self, view: MaintainerView) -> Callable[[Request, StaffVisit], Awaitable[Response]]:
        """A view of the desk; a page that says how to name one, where there is none."""

        async def shown(request: Request, visit: StaffVisit) -> Response:
            folder, world = self.folder, self.desk.node.world
            if folder is None and request.method not in SAFE_METHODS:
                raise ForbiddenError
            if folder is None:
                return self.desk.show(request, "staff/maintainer_none.html", visit)
            opened = await world.run_blocking(Desk.open, folder, world)
            return await view(request, visit, opened)

        return shown

    async def online(self, desk: Desk, passphrase: Secret) -> OnlineKeys:
        """What dates and publishes. FolderError where they are elsewhere, WrongSecretError."""
        return await self.desk.node.world.run_blocking(OnlineKeys.load, desk.path / "online.key", passphrase)

    async def sign(self, desk: Desk, tasks: Sequence[Task], passphrase: Secret) -> list[bytes]:
        """Sign with the offline key, where it lies here. FolderError, WrongSecretError, StateError."""

        def work() -> list[bytes]:
            key = OfflineKey.load(desk.path / "offline.key", passphrase)
            desk.learn(key.coming)
            return [sign_task(desk, task, key) for task in tasks]

        return await self.desk.node.world.run_blocking(work)

    async def publish(self, visit: StaffVisit, desk: Desk, entries: Sequence[bytes], keys: OnlineKeys) -> str:
        """Append, date, hand to this node; which code the next page shows."""
        appended = await self.desk.node.world.run_blocking(desk.publish, entries, keys)
        await self.desk.note(visit, f"maintainer: published {appended}")
        try:
            await self.desk.node.trust.carry(desk.feed_file)
        except StateError:
            return "published_alone"
        return "published"

    async def settle(
        self, request: Request, visit: StaffVisit, desk: Desk, tasks: Sequence[Task], what: str, back: str
    ) -> Response:
        """Sign and publish here, or make the file to sign, as the form says. what: for the log, and the file's name."""
        form = await request.form()
        about = tasks[0].node.text[:16] if len(tasks) == 1 else str(len(tasks))
        if form.get("how") == "task":
            data = encode_tasks(desk.chain.node_id, tasks)
            await self.desk.note(visit, f"maintainer: {what} to sign {about}")
            headers = {"Content-Disposition": f'attachment; filename="{what}-{about}.coffre-task"'}
            return Response(data, media_type="application/octet-stream", headers=headers)
        passphrase = passphrase_in(form)
        keys = await self.online(desk, passphrase)
        entries = await self.sign(desk, tasks, passphrase)
        await self.desk.note(visit, f"maintainer: {what} {about}")
        return self.desk.done(back, await self.publish(visit, desk, entries, keys))
