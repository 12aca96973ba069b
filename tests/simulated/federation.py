"""A simulation: three institutions as they are a minute after they met, on a network with weather.

The federation is made once for each process and copied for each history.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import psycopg
import structlog
import trio
import trio.testing
from psycopg.sql import SQL, Identifier

from node.alerts import sender
from node.post import deadlines, office, peer_link
from node.vault.access import OpenMailbox
from protocol import link
from tests.databases import address_of
from tests.memory import memory_folder
from tests.post.harness import Federation
from tests.simulated.house import House
from tests.simulated.power import watched_files
from tests.simulated.weather import Weather

__all__ = ["PEOPLE", "Simulation", "simulate"]

PEOPLE: Final = {"a": ("anna", "alma"), "b": ("bruno", "berta"), "c": ("clara", "cora")}
"""Who lives where. alma, berta and cora may be closed or full in a history."""

# Looking at an idle node twice a minute would be nine tenths of a simulation's work.
_CALM: Final = (
    (deadlines, "_TICK_S", 1800),
    (office, "_LOOK_AT_LEAST_S", 1800),
    (peer_link, "_LOOK_EVERY_S", 900),
    (sender, "_IDLE_S", 3600),
    (link, "KEEP_ALIVE_MS", 1_800_000),
    (link, "SILENT_MS", 2_700_000),
)


@dataclass
class Simulation:
    """A running simulation."""

    seed: int
    folder: Path
    weather: Weather
    random: random.Random
    trace: list[str]
    houses: dict[str, House] = field(default_factory=dict)

    def house_of(self, address: str) -> House:
        """The institution of an address."""
        return self.houses[address.partition("@")[2].partition(".")[0]]


@cache
def _template() -> tuple[tempfile.TemporaryDirectory[str], dict[str, dict[str, OpenMailbox]]]:
    folder = tempfile.TemporaryDirectory(prefix="coffre-template-", dir=memory_folder())
    return folder, trio.run(_found, Path(folder.name), "", clock=trio.testing.MockClock(autojump_threshold=0))


async def _found(folder: Path, database: str) -> dict[str, dict[str, OpenMailbox]]:
    """Make the three institutions. database: where b's vault is, empty for SQLite."""
    async with Federation.opened(folder) as federation:
        for name, people in PEOPLE.items():
            institution = await federation.make(name, database=database if name == "b" else "")
            for local in people:
                await institution.add(local)
        await federation.acquaint()
        await federation.start()
        await trio.sleep(60)
        return {institution.name: institution.people for institution in federation.institutions}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Trio's own choices follow the seed, so that a history can be had again."""
    run = trio._core._run
    with patch.object(run, "_ALLOW_DETERMINISTIC_SCHEDULING", True), patch.object(run, "_r", random.Random(seed)):
        yield


@asynccontextmanager
async def _opened(
    folder: Path, seed: int, people: dict[str, dict[str, OpenMailbox]], trace: list[str]
) -> AsyncIterator[Simulation]:
    async with trio.open_nursery() as nursery:
        chance = random.Random(seed)
        weather = Weather(chance, nursery)
        made = Simulation(seed, folder, weather, chance, trace)
        for number, name in enumerate(people):
            made.houses[name] = House(name, folder / name, people[name], weather, seed=seed * 10 + number, trace=trace)
        with watched_files([house.power for house in made.houses.values()]):
            for house in made.houses.values():
                await house.boot()
            yield made
            for house in made.houses.values():
                await house.shut_down()
        nursery.cancel_scope.cancel()


def simulate(seed: int, history: Callable[[Simulation], Coroutine[Any, Any, None]], *, postgres: str = "") -> list[str]:
    """Play a history; returns the trace of all writes. postgres: libpq address of a server for b's vault."""
    template, people = _template() if not postgres else _postgres_template(postgres)
    trace: list[str] = []

    async def play(folder: Path) -> None:
        async with _opened(folder, seed, people, trace) as simulation:
            await history(simulation)

    with tempfile.TemporaryDirectory(prefix="coffre-simulated-", dir=memory_folder()) as name:
        folder = Path(name) / "federation"
        shutil.copytree(template.name, folder)
        with _seeded(seed), _calm(), _database_copy(postgres, folder), structlog.testing.capture_logs():
            trio.run(play, folder, clock=trio.testing.MockClock(autojump_threshold=0))
    return trace


@contextmanager
def _calm() -> Iterator[None]:
    with ExitStack() as patches:
        for module, name, value in _CALM:
            patches.enter_context(patch.object(module, name, value))
        yield


# -- b's vault on PostgreSQL

_TEMPLATE_DATABASE: Final = "coffre_simulated_template"


@cache
def _postgres_template(
    server: str,
) -> tuple[tempfile.TemporaryDirectory[str], dict[str, dict[str, OpenMailbox]]]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(_TEMPLATE_DATABASE)))
    folder = tempfile.TemporaryDirectory(prefix="coffre-template-", dir=memory_folder())
    clock = trio.testing.MockClock(autojump_threshold=0)
    return folder, trio.run(_found, Path(folder.name), address_of(server, _TEMPLATE_DATABASE), clock=clock)


@contextmanager
def _database_copy(server: str, folder: Path) -> Iterator[None]:
    """A database of this history alone, named in b's settings."""
    if not server:
        yield
        return
    name = Identifier(database := f"coffre_{folder.parent.name[-8:].lower()}")
    settings = folder / "b" / "coffre.toml"
    settings.write_text(settings.read_text().replace(_TEMPLATE_DATABASE, database))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(name, Identifier(_TEMPLATE_DATABASE)))
        try:
            yield
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))
