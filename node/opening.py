"""Opening a node's folder: its settings, its keyring under the passphrase, then the node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.app import Node
from node.config.settings import load_settings
from node.errors import ConfigError
from node.folder import Folder
from node.identity.own_keys import OwnKeys, file_mark
from node.passphrase_sources import read_passphrase
from node.vault.engine import database_url, open_engines
from node.vault.keyring import load_keyring
from node.world import World
from protocol.crypto import Secret

__all__ = ["open_node"]


@asynccontextmanager
async def open_node(path: Path, passphrase: Secret | None = None, *, world: World | None = None) -> AsyncIterator[Node]:
    """Open a node's folder for as long as the block lasts, with its writer running.

    passphrase: None to take it from the settings' file. Errors are CoffreError, one line each.
    """
    world = world or World()
    folder = Folder.open(path)
    settings = load_settings(folder.settings_file)
    passphrase = passphrase or read_passphrase(folder, settings)
    if passphrase is None:
        raise ConfigError(
            "no passphrase for the keyring",
            hint="give --keyring-passphrase-file, or set passphrase_file in coffre.toml",
        )
    mark = file_mark(folder.keyring_file)
    keyring = await world.run_blocking(load_keyring, folder.keyring_file, passphrase)
    own_keys = OwnKeys(folder, keyring, passphrase, world, mark=mark)
    engines = await world.run_blocking(open_engines, database_url(folder, settings))
    try:
        node = await world.run_blocking(Node, folder, settings, own_keys, world, engines)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(node.database.run)
                await node.history.settle()
                await node.key_keeper.settle()
                await node.erasures.settle()
                yield node
                await node.history.write_head_file()
                nursery.cancel_scope.cancel()
        finally:
            node.claims.close()
    finally:
        engines.close()
