"""Heads of a node's log stamped by an authority over HTTP: in evidence, on record, and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from pydantic import ValidationError

from node.app import Node
from node.audit.timestamping import Timestamper, read_tsa_roots
from node.config.sections import EvidenceSettings
from node.errors import ConfigError, TimestampError
from node.vault.evidence_export import export_evidence
from node.vault.states import DeliveryState
from protocol.evidence_file import EvidenceFile
from protocol.evidence_findings import Doubt
from protocol.evidence_report import verify_evidence_file
from protocol.timestamp import TimestampRequest
from spec.vectors.sample_letter import SampleLetter
from tests.evidence.tsa import Answer, Authority, serving
from tests.post.harness import Federation, Institution, settled

HOUR_S = 3600


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tsa") / "good")


def asking(node: Node, url: str, authority: Authority | None, **more: object) -> Timestamper:
    """A node's timestamper with these settings."""
    ca_file = "" if authority is None else str(authority.ca_file)
    settings = EvidenceSettings(timestamp_url=url, timestamp_ca_file=ca_file, **more)  # type: ignore[arg-type]
    return Timestamper(node.database, node.timestamps, settings, node.folder.path)


async def evidence_of(institution: Institution, row: bytes) -> EvidenceFile:
    node = institution.node
    return await export_evidence(node.database, node.keys, node.directory, node.outbox, row.hex())


async def test_evidence_below_a_stamped_head_bears_its_timestamp(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, authority: Authority, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as made:
        a, b = await made.make("a", database=database_url), await made.make("b")
        await a.add("anna")
        await b.add("bruno")
        await made.acquaint()
        await made.start()
        await settled()
        with serving(Answer(authority.answer)) as url:
            early = await a.send("anna", "bruno@b.example")
            await settled()
            stamped = await asking(a.node, url, authority).stamp()
            late = await a.send("anna", "bruno@b.example")
            await settled()
            file = await evidence_of(a, early.row)
            assert file.timestamps == (stamped.token,)
            report = verify_evidence_file(file, tsa_roots=authority.roots)
            assert report.ok
            times = {item.verified.kind.word: item.existed_at_ms for item in report.events if item.verified}
            assert times == {"submitted": stamped.stamp.time_ms, "deposited": None}
            assert (await evidence_of(a, late.row)).timestamps == ()
            # A second stamp covers the later letter; the earlier one keeps its older proof.
            again = await asking(a.node, url, authority).stamp()
            assert (await evidence_of(a, late.row)).timestamps == (again.token,)
            assert (await evidence_of(a, early.row)).timestamps == (stamped.token,)
        listed = await a.node.database.read(lambda connection: a.node.timestamps.list(connection, limit=10))
        assert [item.token for item in listed] == [again.token, stamped.token]
        assert stamped.stamp.policy == "1.2.3.4.1"


async def test_a_clock_that_ran_ahead_of_the_authority_is_told(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, authority: Authority
) -> None:
    async with Federation.pair(tmp_path) as (_, a, _b):
        with serving(Answer(authority.answer)) as url:
            ahead_ms = (await asking(a.node, url, authority).stamp()).stamp.time_ms - a.world.now_ms()
            a.skew_ms += ahead_ms + 2 * 3_600_000
            letter = await a.send("anna", "bruno@b.example")
            await asking(a.node, url, authority).stamp()
        report = verify_evidence_file(await evidence_of(a, letter.row), tsa_roots=authority.roots)
        assert report.ok
        assert [Doubt.CLOCK_AHEAD in item.doubts for item in report.events] == [True]


def _answer_to_another(authority: Authority) -> Callable[[bytes], bytes]:
    other = TimestampRequest(SampleLetter().recipient.log_head()).data
    return lambda _query: authority.answer(other)


class _Replayed:
    """Answers with what it answered first: the hash is the same, the nonce is an old one."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._first: bytes | None = None

    def __call__(self, query: bytes) -> bytes:
        self._first = self._first or self._authority.answer(query)
        return self._first


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("wrong_hash", "another hash"),
        ("wrong_nonce", "nonce"),
        ("other_policy", "policy 1.2.3.4.1"),
        ("expired", "not signed by the authority"),
        ("other_authority", "not signed by the authority"),
        ("refused", "refused"),
        ("garbage", "no answer of a timestamping authority"),
        ("empty", "no answer of a timestamping authority"),
        ("huge", "more than 65536 bytes"),
        ("error_page", "answered 503"),
        ("down", "does not answer"),
    ],
)
async def test_a_bad_answer_is_refused_and_nothing_kept(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, authority: Authority, lie: str, said: str
) -> None:
    answer, trusted, more = Answer(authority.answer), authority, {}
    match lie:
        case "wrong_hash":
            answer.body = _answer_to_another(authority)
        case "wrong_nonce":
            answer.body = _Replayed(authority)
        case "other_policy":
            more = {"timestamp_policy": "1.2.3.4.9"}
        case "expired":
            trusted = Authority.make(tmp_path / "expired", days=(-400, -30))
            answer.body = trusted.answer
        case "other_authority":
            answer.body = Authority.make(tmp_path / "other").answer
        case "refused":
            answer.body = lambda _query: bytes.fromhex("30053003020102")
        case "garbage":
            answer.body = lambda _query: b"<html>no timestamps here</html>"
        case "empty":
            answer.body = lambda _query: b""
        case "huge":
            answer.body = lambda _query: bytes(10_000_000)
        case "error_page":
            answer.status = 503
    async with Federation.opened(tmp_path / "nodes") as made:
        a = await made.make("a")
        with serving(answer) as url:
            address = "http://127.0.0.1:9/tsa" if lie == "down" else url
            timestamper = asking(a.node, address, trusted, **more)
            if lie == "wrong_nonce":
                await timestamper._database.world.run_blocking(answer.body, _query_of(a.node))
            with pytest.raises(TimestampError, match=said):
                await timestamper.stamp()
        assert await a.node.database.read(a.node.timestamps.newest) is None


def _query_of(node: Node) -> bytes:
    head = node.database.read_now(node.timestamps.newest_head)
    return TimestampRequest(head.note).data


async def test_a_node_stamps_as_often_as_set_and_an_authority_that_is_down_holds_nothing_up(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, authority: Authority
) -> None:
    answer = Answer(authority.answer, status=503)
    with serving(answer) as url:
        async with Federation.opened(tmp_path) as made:
            a, b = await made.make("a"), await made.make("b")
            await a.add("anna")
            await b.add("bruno")
            await made.acquaint()
            wanted = EvidenceSettings(
                timestamp_url=url, timestamp_ca_file=str(authority.ca_file), timestamp_every_hours=2
            )
            a.node.settings = a.node.settings.model_copy(update={"evidence": wanted})
            await made.start()
            await settled()
            letter = await a.send("anna", "bruno@b.example")
            await settled()
            assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
            await trio.sleep(HOUR_S / 2)
            assert await _stamps(a.node) == 0
            assert 4 <= answer.asked <= 8  # a minute apart, then two, four, …
            answer.status = 200
            await trio.sleep(HOUR_S)
            assert await _stamps(a.node) == 1
            assert (await evidence_of(a, letter.row)).timestamps
            await trio.sleep(HOUR_S / 2)
            assert await _stamps(a.node) == 1
            await trio.sleep(2 * HOUR_S)
            assert await _stamps(a.node) == 2


async def _stamps(node: Node) -> int:
    return len(await node.database.read(lambda connection: node.timestamps.list(connection, limit=100)))


async def test_settings_that_cannot_be_used(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, authority: Authority
) -> None:
    async with Federation.opened(tmp_path) as made:
        a = await made.make("a")
        with pytest.raises(ConfigError, match="no timestamping authority"):
            await asking(a.node, "", None).stamp()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tsa_roots(tmp_path / "missing.pem")
    (tmp_path / "key.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="no PEM"):
        read_tsa_roots(tmp_path / "key.pem")
    for bad in ({"timestamp_url": "ftp://a"}, {"timestamp_policy": "1.2.x"}, {"timestamp_every_hours": 0}):
        with pytest.raises(ValidationError):
            EvidenceSettings(**bad)


async def test_without_a_certificate_answers_are_taken_and_stay_in_doubt(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, authority: Authority
) -> None:
    async with Federation.pair(tmp_path) as (_, a, _b):
        letter = await a.send("anna", "bruno@b.example")
        with serving(Answer(authority.answer)) as url:
            await asking(a.node, url, None).stamp()
        file = await evidence_of(a, letter.row)
        assert Doubt.TIMESTAMP_UNCONFIRMED in verify_evidence_file(file).doubts
        assert verify_evidence_file(file, tsa_roots=authority.roots).ok
