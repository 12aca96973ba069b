"""After any changes the marks are those of the live entries, and whoever shares a key is known.

Spec: spec/directory.md, 13; spec/decisions/0008-marks-in-bulk.md.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.vault import key_marks, schema
from node.vault.key_holders import holders_of, shared_by
from node.vault.key_marks import mark_waiting, unmarked
from node.vault.mailbox_facts import key_mark
from protocol.crypto import SealSecret, SigningSecret
from protocol.ids import NodeId
from tests.directory.published import NODES, Published, emptied, mailbox_id

_SIGNING: Final = [SigningSecret(bytes([seed]) * 32).verify_key for seed in (1, 2, 3)]
_SEALS: Final = [SealSecret(bytes([seed]) * 96).seal_key for seed in (1, 2)]

_node = st.sampled_from(NODES)
_number = st.integers(0, 2)
_change = st.one_of(
    st.tuples(st.just("mailbox"), _node, _number, st.sampled_from(_SIGNING), st.sampled_from(_SEALS)),
    st.tuples(st.just("mailbox"), _node, _number, st.sampled_from(_SIGNING), st.sampled_from(_SEALS)),
    st.tuples(st.just("erase"), _node, _number),
    st.tuples(st.just("forget"), _node),
    st.tuples(st.just("defer"), st.booleans()),
    st.tuples(st.just("mark"), st.integers(1, 6)),
)
_Mailboxes = dict[tuple[NodeId, int], tuple[bytes, bytes]]


def _apply(published: Published, mailboxes: _Mailboxes, gone: set[tuple[NodeId, int]], change: tuple[Any, ...]) -> None:
    match change:
        case ("mailbox", node, number, signing, seal):
            if (node, number) not in gone:
                address = f"m{number}@n{node[0]}.example"
                published.mailbox(node, number, address, "Fictive", signing_key=signing, seal_key=seal)
                mailboxes[node, number] = (bytes(signing), bytes(seal))
        case ("erase", node, number):
            if mailboxes.pop((node, number), None) is not None:
                published.erase(node, number)
                gone.add((node, number))
        case ("forget", node):
            published.forget(node)
            for key in [key for key in mailboxes if key[0] == node]:
                del mailboxes[key]
            gone -= {key for key in gone if key[0] == node}
        case ("defer", defers):
            published.defers = defers
        case ("mark", operations):
            with published.engines.writer.begin() as connection, pytest.MonkeyPatch.context() as patch:
                patch.setattr(key_marks, "MARKED_AT_ONCE", operations)
                mark_waiting(connection)


def _stored(connection: sa.Connection) -> set[tuple[int, NodeId, int]]:
    marks, feeds = schema.key_marks, schema.marked_feeds
    rows = connection.execute(sa.select(marks)).all()
    names = {number: NodeId(node) for number, node in connection.execute(sa.select(feeds.c.number, feeds.c.node_id))}
    return {(row.mark, names[row.feed], row.position) for row in rows}


def _live(connection: sa.Connection, but: set[NodeId]) -> set[tuple[int, NodeId, int]]:
    entries = schema.feed_entries
    return {
        (mark, NodeId(row.node_id), row.position)
        for row in connection.execute(sa.select(entries))
        for mark in (row.sign_mark, row.seal_mark)
        if mark is not None and row.node_id not in but
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=st.lists(_change, min_size=3, max_size=25))
def test_any_series_of_changes(engines_of: Published, changes: list[tuple[Any, ...]]) -> None:
    published, mailboxes, gone = emptied(engines_of), _Mailboxes(), set[tuple[NodeId, int]]()
    for change in changes:
        _apply(published, mailboxes, gone, change)
        with published.engines.reader.connect() as connection:
            assert _stored(connection) == _live(connection, {node for node, _ in unmarked(connection)})
    with published.engines.writer.begin() as connection:
        mark_waiting(connection)
        assert unmarked(connection) == []
        assert len(_stored(connection)) == 2 * len(mailboxes)
        found = holders_of(connection, [bytes(key) for key in (*_SIGNING, *_SEALS)])
        shared = shared_by(connection)
        noted = set(connection.scalars(sa.select(schema.shared_keys.c.mark)))
    expected: dict[bytes, set[tuple[NodeId, Any]]] = {}
    for (node, number), keys in mailboxes.items():
        for key in keys:
            expected.setdefault(key, set()).add((node, mailbox_id(number)))
    assert {key: {(one.node, one.mailbox) for one in some} for key, some in found.items()} == expected
    twice = {key for key, some in expected.items() if len(some) > 1}
    assert {key_mark(key) for key in twice} <= noted
    assert {frozenset((one.node, one.mailbox) for one in some) for some in shared} == {
        frozenset(expected[key]) for key in twice
    }
