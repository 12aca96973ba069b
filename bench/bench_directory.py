"""Searching a country's directory: 3,000 institutions, 1.2 million mailboxes, as people type, on both databases.

What is timed is what a search costs the node: connection, queries, ranking, the rows of the page. Every query is typed
letter by letter, and each letter is a search. The entries themselves are not stored: no search reads them.
"""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from bench.federation import INSTITUTION_SUBJECT, SEED, Institution, federation
from bench.postgresql import postgresql
from bench.registry import benchmark
from node.vault import schema
from node.vault.engine import Engines, open_engines, sqlite_url
from node.vault.feed_store import EPOCH
from node.vault.mailbox_facts import MailboxFacts
from node.vault.migrate import migrate
from node.vault.search.directory_search import DirectorySearch, SearchQuery
from node.vault.search.index import index_entries
from protocol.feed import OperationKind

__all__ = ["typed_queries"]

# As people write them; with words that half of the federation has.
_BROAD: Final = (
    "centre hospitalier",
    "centre hospitalier universitaire cardiologie",
    "hôpital",
    "clinique saint",
    "médecin généraliste",
    "infirmier",
    "dr marie",
    "secrétariat de cardiologie",
    "service des urgences",
    "pharmacie",
    "de la",
    "cabinet medical infirmier",
)
_DRAWN: Final = 60
# As large as a chain of three statements with its post-quantum keys.
_STATEMENTS: Final = bytes(8192)


@dataclass(frozen=True, slots=True)
class _Figures:
    searches_ms: list[float]
    index_us: float


def typed_queries(sample: list[Institution], seed: int = SEED) -> list[str]:
    """Everything in a search field while people type the broad queries and others about mailboxes that there are."""
    draw = random.Random(seed)  # noqa: S311 - the same queries each time
    whole = list(_BROAD)
    for _ in range(_DRAWN):
        institution = draw.choice(sample)
        entry = draw.choice([member.entry for member in itertools.islice(institution.members(), 50)])
        name, town = entry.name.removeprefix("Dr "), entry.town or institution.entry.town
        options = [
            name,
            name.split()[-1],
            f"{name.split()[-1]} {town}",
            f"{entry.specialty or entry.profession} {town}",
        ]
        options += [f"{entry.unit} {institution.entry.names[0]}", entry.address]
        options += [item.value for item in entry.identifiers]
        whole.append(draw.choice(options))
    return [text[:end] for text in whole for end in range(1, len(text) + 1)]


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        yield str(sqlite_url(Path(place) / "vault.db"))


def _fill(engines: Engines, institutions: list[Institution]) -> float:
    """Index every institution in a transaction of its own, as feeds arrive; microseconds a mailbox."""
    taken_s, count = 0.0, 0
    for institution in institutions:
        entries = {member.entry.mailbox: MailboxFacts.of(member.entry) for member in institution.members()}
        operation = institution.operation().encode()
        started = time.perf_counter()
        with engines.writer.begin() as connection:
            connection.execute(
                schema.feed_entries.insert().values(
                    node_id=institution.node,
                    subject=INSTITUTION_SUBJECT,
                    kind=int(OperationKind.INSTITUTION),
                    position=0,
                    version=1,
                )
            )
            connection.execute(
                schema.feed_operations.insert().values(
                    node_id=institution.node, epoch=EPOCH, position=0, operation=operation
                )
            )
            _accept(connection, institution)
            index_entries(connection, institution.node, dict(entries), institution_changed=True)
        taken_s += time.perf_counter() - started
        count += len(entries)
    return taken_s / count * 1e6


def _accept(connection: sa.Connection, institution: Institution) -> None:
    connection.execute(
        schema.peers.insert().values(
            node_id=institution.node,
            status="accepted",
            institution=institution.entry.names[0],
            domain=institution.entry.domains[0],
            endpoints="[]",
            statements=_STATEMENTS,
            accepted_at_ms=0,
            failures=0,
            next_attempt_at_ms=0,
            last_contact_at_ms=0,
            last_error="",
        )
    )


def _measure(database: AbstractContextManager[str]) -> _Figures:
    institutions = list(federation())
    with database as url:
        engines = open_engines(url)
        try:
            migrate(engines)
            index_us = _fill(engines, institutions)
            search = DirectorySearch(institutions[0].node)
            taken = []
            for text in typed_queries(institutions):
                started = time.perf_counter()
                with engines.reader.connect() as connection:
                    search.page(connection, SearchQuery(text=text))
                taken.append((time.perf_counter() - started) * 1e3)
        finally:
            engines.close()
    return _Figures(taken, index_us)


@contextmanager
def _postgresql() -> Iterator[str]:
    with postgresql() as server:
        yield server.new_database("vault")


@lru_cache(maxsize=1)
def _on_sqlite() -> _Figures:
    return _measure(_sqlite())


@lru_cache(maxsize=1)
def _on_postgres() -> _Figures:
    return _measure(_postgresql())


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@benchmark("search_1200k_ms_p50", "ms")
def search_median() -> float:
    """A search among 1.2 million mailboxes after each letter typed, SQLite: the median."""
    return statistics.median(_on_sqlite().searches_ms)


@benchmark("search_1200k_ms_p99", "ms")
def search_slowest() -> float:
    """The same: one in a hundred takes longer."""
    return _p99(_on_sqlite().searches_ms)


@benchmark("search_1200k_index_us", "µs")
def search_index() -> float:
    """What the index of 1.2 million mailboxes cost for each, arriving as 3,000 feeds in a transaction each, SQLite."""
    return _on_sqlite().index_us


@benchmark("search_1200k_postgresql_ms_p50", "ms")
def search_median_postgresql() -> float:
    """A search among 1.2 million mailboxes after each letter typed, PostgreSQL: the median."""
    return statistics.median(_on_postgres().searches_ms)


@benchmark("search_1200k_postgresql_ms_p99", "ms")
def search_slowest_postgresql() -> float:
    """The same: one in a hundred takes longer."""
    return _p99(_on_postgres().searches_ms)


@benchmark("search_1200k_postgresql_index_us", "µs")
def search_index_postgresql() -> float:
    """The same on PostgreSQL."""
    return _on_postgres().index_us
