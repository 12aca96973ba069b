"""What a running node does for its operators beside its work. Spec: spec/operation.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from node.operation.reloading import Reloader
from node.operation.tokens import read_token
from node.operation.upgrading import remove_old_copies
from node.operation.watch import AlarmWatch

if TYPE_CHECKING:
    from node.alerts.sender import AlertSender
    from node.app import Node
    from node.post.office import PostOffice
    from node.post.sender_side import SenderSide
    from node.web.server import WebServer

__all__ = ["Operation"]

_logger = structlog.get_logger(__name__)


class Operation:
    """Watches, shows figures, takes up settings; made by `Node.run`. listening_on: where figures are, once they are."""

    def __init__(self, node: Node, office: PostOffice, sending: SenderSide, alerts: AlertSender) -> None:
        self._node = node
        self.office = office
        self.sending = sending
        self._servers: list[WebServer] = []
        self.listening_on = ""
        self.watch = AlarmWatch(node, office.clock_offset_ms)
        self.reloader = Reloader(
            node, alerts, check_certificates=self._check_certificates, use_certificates=self._use_certificates
        )

    def add_server(self, server: WebServer) -> None:
        """Its certificate is read anew with the settings."""
        self._servers.append(server)

    def _check_certificates(self) -> None:
        for server in self._servers:
            server.check_certificate()

    def _use_certificates(self) -> None:
        for server in self._servers:
            server.use_certificate()

    async def remove_old_copies(self) -> None:
        """Copies from before upgrades, after their time."""
        world = self._node.world
        count = await world.run_blocking(remove_old_copies, self._node.folder, world.now_ms())
        if count:
            _logger.info("copies from before upgrades removed", count=count)

    async def serve(self, stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Figures and health, until `stop`. ConfigError if they cannot be served."""
        # Only here: a node that shows none does not pay for the libraries.
        from node.operation.figures import Figures
        from node.operation.listener import OperationListener

        node = self._node
        figures = Figures(node, self.office)
        token = await node.world.run_blocking(read_token, node.folder, node.settings.operation)
        listener = OperationListener(node, figures, token)
        node.database.on_commit = figures.committed
        self.sending.writer.on_deposited = figures.delivered
        async with trio.open_nursery() as nursery:
            self.listening_on = await nursery.start(listener.run, stop)
            self._servers.append(listener.server)
            task_status.started()
