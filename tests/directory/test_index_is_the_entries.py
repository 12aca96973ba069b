"""After any changes a search finds what a plain look at all live entries finds, and a rebuild changes nothing."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from directory_sync.words import words
from node.vault import schema
from node.vault.search.index import rebuild_index
from protocol.entry import EntryStatus, Identifier, MailboxKind
from protocol.ids import NodeId
from tests.directory.published import NODES, OWN, Published, emptied

_DOMAINS: Final = ("un.example", "deux.example")
_NAMES: Final = ("Hôpital de l'Étoile", "Centre hospitalier", "Étoile du Nord", "Anne Étoile", "Anne-Lise Nord", "Nord")
_TOWNS: Final = ("", "Le Nord", "Saint-Étienne")
_QUERIES: Final = (
    "e",
    "etoile",
    "nord",
    "anne nord",
    "centre",
    "hos",
    "12 34",
    "1234",
    "saint un",
    "medecin",
    "h n",
    "",
)

_node = st.sampled_from(NODES[:2])
_number = st.integers(0, 1)
_domain = st.sampled_from(_DOMAINS)
_status = st.sampled_from([EntryStatus.OPEN, EntryStatus.OPEN, EntryStatus.OPEN, EntryStatus.CLOSED])
_institution = st.fixed_dictionaries(
    {
        "name": st.sampled_from(_NAMES),
        "town": st.sampled_from(_TOWNS),
        "region": st.sampled_from(_TOWNS),
        "domains": st.lists(_domain, min_size=1, max_size=2, unique=True).map(tuple),
        "status": _status,
    }
)
_mailbox = st.fixed_dictionaries(
    {
        "name": st.sampled_from(_NAMES),
        "local": st.sampled_from(["a", "nord", "anne.etoile"]),
        "domain": _domain,
        "town": st.sampled_from(_TOWNS),
        "profession": st.sampled_from(["", "Médecin"]),
        "identifiers": st.sampled_from([(), (Identifier("s", "12 34"),)]),
        "kind": st.sampled_from(MailboxKind),
        "status": _status,
        "listed": st.sampled_from([True, True, True, False]),
    }
)
_change = st.one_of(
    st.tuples(st.just("institution"), _node, _institution),
    st.tuples(st.just("mailbox"), _node, _number, _mailbox),
    st.tuples(st.just("mailbox"), _node, _number, _mailbox),
    st.tuples(st.just("erase"), _node, _number),
    st.tuples(st.just("accept"), _node, _domain, st.sampled_from(["accepted", "accepted", "removed"])),
    st.tuples(st.just("defer"), st.booleans()),
    st.tuples(st.just("list"), st.integers(1, 3)),
    st.tuples(st.just("read waiting"), st.integers(1, 3)),
    st.tuples(st.just("write lists")),
)


class Model:
    """The live entries, and whom the node accepted, as plain dictionaries."""

    def __init__(self) -> None:
        self.institutions: dict[NodeId, dict[str, Any]] = {}
        self.mailboxes: dict[tuple[NodeId, int], dict[str, Any]] = {}
        self.erased: set[tuple[NodeId, int]] = set()
        self.accepted: dict[NodeId, str] = {}

    def expected(self, text: str, kind: str = "") -> list[tuple[NodeId, str]]:
        wanted = words(text)
        found = []
        for (node, _), entry in self.mailboxes.items():
            institution = self.institutions.get(node)
            if institution is None or institution["status"] is EntryStatus.CLOSED:
                continue
            usable = node == OWN or self.accepted.get(node) == entry["domain"]
            if not usable or entry["domain"] not in institution["domains"]:
                continue
            if entry["status"] is EntryStatus.CLOSED or not entry["listed"] or kind not in ("", entry["kind"]):
                continue
            texts = [entry["name"], entry["local"], entry["town"], entry["profession"]]
            texts += [item.value for item in entry["identifiers"]]
            texts += [institution["name"], institution["town"], institution["region"], entry["domain"], "hospital"]
            known = [word for item in texts for word in words(item)]
            known += ["".join(words(item.value)) for item in entry["identifiers"]]

            def matches(typed: str, known: list[str] = known) -> bool:
                return any(word.startswith(typed) for word in known)

            joined = text == "12 34" and matches("1234")
            if (wanted and all(map(matches, wanted))) or joined or (not wanted and kind):
                found.append((node, f"{entry['local']}@{entry['domain']}"))
        return sorted(found)


def apply(published: Published, model: Model, change: tuple[Any, ...]) -> None:
    match change:
        case ("institution", node, fields):
            rest = {name: value for name, value in fields.items() if name != "domains"}
            published.institution(node, *fields["domains"], **rest)
            model.institutions[node] = fields
        case ("mailbox", node, number, fields):
            if (node, number) not in model.erased:
                rest = {name: value for name, value in fields.items() if name not in ("local", "domain", "name")}
                published.mailbox(node, number, f"{fields['local']}@{fields['domain']}", fields["name"], **rest)
                model.mailboxes[node, number] = fields
        case ("erase", node, number):
            if model.mailboxes.pop((node, number), None) is not None:
                published.erase(node, number)
                model.erased.add((node, number))
        case ("accept", node, domain, status):
            published.accept(node, domain, status)
            model.accepted[node] = domain if status == "accepted" else ""
        case ("defer", defers):
            published.defers = defers
        case ("list", limit):
            published.list_all(limit)
        case ("read waiting", limit):
            published.read_waiting(limit)
        case ("write lists",):
            published.write_lists()


def dump(published: Published) -> dict[str, Any]:
    """The index by what it means: numbers replaced by what they stand for."""
    with published.engines.reader.connect() as connection:
        groups = {
            row.number: (bytes(row.node_id), row.domain, row.shown)
            for row in connection.execute(sa.select(schema.search_groups))
        }
        documents = {
            row.number: (groups[row.group_number][:2], bytes(row.subject), row.shown)
            for row in connection.execute(sa.select(schema.search_documents))
        }
        spelled = {row.number: bytes(row.word) for row in connection.execute(sa.select(schema.search_words))}
        postings: dict[Any, set[Any]] = {}
        for row in connection.execute(sa.select(schema.search_postings)):
            token = groups[int(row.token)][:2] if row.field == 11 else bytes(row.token)
            names: dict[int, Any] = spelled if row.field == 12 else documents
            numbers = BitMap.deserialize(bytes(row.bits))
            assert numbers
            postings.setdefault((row.field, token), set()).update(names[number] for number in numbers)
    return {
        "groups": sorted(groups.values()),
        "documents": sorted(documents.values()),
        "words": sorted(spelled.values()),
        "postings": postings,
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=st.lists(_change, min_size=3, max_size=25))
def test_any_series_of_changes(engines_of: Published, changes: list[tuple[Any, ...]]) -> None:
    published, model = emptied(engines_of), Model()
    # Before it, nothing of a node is found: with it, every change of a mailbox is one that shows.
    opening = {"name": _NAMES[0], "town": "", "region": "", "domains": _DOMAINS, "status": EntryStatus.OPEN}
    for change in [("institution", OWN, opening), *changes]:
        apply(published, model, change)
    published.list_all(2)
    for text in _QUERIES:
        assert sorted(published.all_found(text)) == model.expected(text), text
    for kind in MailboxKind:
        assert sorted(published.all_found(kind=kind)) == model.expected("", kind)
        assert sorted(published.all_found("nord", kind=kind)) == model.expected("nord", kind)
    before = dump(published)
    with published.engines.writer.begin() as connection:
        rebuild_index(connection)
    assert dump(published) == before
