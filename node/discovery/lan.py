"""Announce this node on the local network, and find others, by multicast DNS (RFC 6762, 6763).

Spec: spec/directory.md, 10.
zeroconf runs in threads of its own; its calls block and are made in a worker thread, what it finds comes back through
trio's token. Whatever is found is a hint for an administrator: links trust certificates, never an announcement.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from node.config.sections import DiscoverySettings
from node.config.values import split_endpoint
from node.errors import ConfigError
from node.world import World
from protocol.ids import NodeId
from protocol.statement import node_digits

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

__all__ = ["FoundNode", "LanAnnouncer", "find_nodes"]

_SERVICE: Final = "_coffre._tcp.local."
_VERSION: Final = b"1"
_SHORT_ID: Final = 12
_RESOLVE_MS: Final = 2000
# A busy or hostile network must not fill the memory.
_MAX_FOUND: Final = 1000
_RESOLVED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNode:
    """What somebody announces, unverified. endpoint: HOST:PORT to dial."""

    node_id: NodeId
    endpoint: str

    @property
    def digits(self) -> str:
        """The 30 digits that its administrator would read out, if it is whom it says."""
        return node_digits(self.node_id)


def _open(interfaces: Sequence[str]) -> Zeroconf:
    from zeroconf import InterfaceChoice, Zeroconf

    try:
        for address in interfaces:
            # zeroconf would leave its sockets open for an address that is not ours.
            with socket.socket(socket.AF_INET6 if _is_v6(address) else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
        return Zeroconf(interfaces=list(interfaces) or InterfaceChoice.All)
    except OSError as error:
        hint = "see [discovery] interfaces in coffre.toml"
        raise ConfigError(f"multicast on the local network failed: {error.strerror}", hint=hint) from error


class LanAnnouncer:
    """Announces a node for as long as it runs: its id and its port, nothing of the institution."""

    def __init__(self, node_id: NodeId, settings: DiscoverySettings, world: World) -> None:
        self._node_id = node_id
        self._settings = settings
        self._world = world

    async def run(self, listening_on: str) -> None:
        """Until cancelled; then the announcement is taken back. listening_on: HOST:PORT of the link listener."""
        zeroconf = await self._world.run_blocking(_open, self._settings.interfaces)
        try:
            await self._world.run_blocking(self._register, zeroconf, listening_on)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._world.run_blocking(zeroconf.close)

    def _register(self, zeroconf: Zeroconf, listening_on: str) -> None:
        import ifaddr
        from zeroconf import ServiceInfo

        host, port = split_endpoint(listening_on)
        everywhere = host in ("0.0.0.0", "::", "*")  # noqa: S104
        addresses = list(self._settings.interfaces) or [
            str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4
        ]
        short = self._node_id.text[:_SHORT_ID]
        info = ServiceInfo(
            _SERVICE,
            f"{short}.{_SERVICE}",
            port=port,
            # A name that no other machine of the network has, and that says nothing.
            server=f"coffre-{short}.local.",
            properties={b"v": _VERSION, b"id": self._node_id.text.encode()},
            parsed_addresses=addresses if everywhere else [host],
        )
        zeroconf.register_service(info)


async def find_nodes(settings: DiscoverySettings, world: World, *, within_s: float) -> list[FoundNode]:
    """What is announced on the local network and answers in this time, by id. ConfigError without a network."""
    from zeroconf import ServiceBrowser, ServiceStateChange

    zeroconf = await world.run_blocking(_open, settings.interfaces)
    token = trio.lowlevel.current_trio_token()
    names_in, names = trio.open_memory_channel[str](_MAX_FOUND)

    def changed(*, name: str, state_change: ServiceStateChange, **_others: object) -> None:
        if state_change is ServiceStateChange.Added:
            token.run_sync_soon(_send, names_in.send_nowait, name)

    found: dict[NodeId, FoundNode] = {}
    slots = trio.CapacityLimiter(_RESOLVED_AT_ONCE)

    async def look_up(name: str) -> None:
        # An announcement brings all that it says; who announces a name alone keeps nobody waiting but itself.
        node = await world.run_blocking(_read, zeroconf, name)
        if node is None:
            async with slots:
                node = await world.run_blocking(_resolve, zeroconf, name)
        if node is not None:
            found[node.node_id] = node

    browser = await world.run_blocking(lambda: ServiceBrowser(zeroconf, _SERVICE, handlers=[changed]))
    try:
        with trio.move_on_after(within_s):
            async with trio.open_nursery() as nursery:
                looked_at = 0
                async for name in names:
                    looked_at += 1
                    if looked_at <= _MAX_FOUND:
                        nursery.start_soon(look_up, name)
    finally:
        with trio.CancelScope(shield=True):
            await world.run_blocking(browser.cancel)
            await world.run_blocking(zeroconf.close)
    return [found[node_id] for node_id in sorted(found)]


def _send(send: Callable[[str], None], name: str) -> None:
    # More than anybody looks through, or nobody looks any more.
    with suppress(trio.WouldBlock, trio.ClosedResourceError):
        send(name)


def _read(zeroconf: Zeroconf, name: str) -> FoundNode | None:
    """The announcement behind a name, if all of it has arrived; None for one that is not of our form."""
    from zeroconf import ServiceInfo

    info = ServiceInfo(_SERVICE, name)
    return _found(info) if info.load_from_cache(zeroconf) else None


def _resolve(zeroconf: Zeroconf, name: str) -> FoundNode | None:
    """The same, asked for."""
    return _found(zeroconf.get_service_info(_SERVICE, name, timeout=_RESOLVE_MS))


def _found(info: ServiceInfo | None) -> FoundNode | None:
    if info is None or info.port is None or info.properties.get(b"v") != _VERSION:
        return None
    addresses = info.parsed_addresses()
    try:
        node_id = NodeId.from_text((info.properties.get(b"id") or b"").decode("ascii"))
    except ValueError:  # UnicodeDecodeError is one
        return None
    if not addresses or not 0 < info.port < 65536:
        return None
    host = f"[{addresses[0]}]" if _is_v6(addresses[0]) else addresses[0]
    return FoundNode(node_id=node_id, endpoint=f"{host}:{info.port}")


def _is_v6(address: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return False
    return True
