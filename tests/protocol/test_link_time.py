"""Keep-alive and silence. Spec: spec/wire.md, 10."""

from __future__ import annotations

import pytest

from protocol.errors import Reason, RemoteProtocolError
from protocol.letter import LetterClass
from protocol.link import KEEP_ALIVE_MS, NEVER_MS, SILENT_MS, Link, Role
from protocol.messages import Heads, KeepAlive, Offer
from tests.protocol.link_helpers import ENVELOPE, Pair, hello


def test_an_idle_link_lives_by_keep_alives_alone() -> None:
    pair = Pair()
    started_ms = pair.now_ms
    for round_number in range(1, 6):
        pair.now_ms = pair.dialler.next_wakeup_ms()
        assert pair.now_ms == pair.acceptor.next_wakeup_ms() == started_ms + round_number * KEEP_ALIVE_MS
        for link, deliver in ((pair.dialler, pair.to_acceptor), (pair.acceptor, pair.to_dialler)):
            data = link.handle_wakeup(pair.now_ms)
            assert data == KeepAlive().frame(0)
            assert deliver(data) == []


def test_who_waits_for_a_hello_gives_up_after_90_seconds() -> None:
    for link in (Link(Role.DIALLER, hello(), 500), Link(Role.ACCEPTOR, hello(), 500)):
        link.start()
        assert link.next_wakeup_ms() == 500 + SILENT_MS
        assert link.handle_wakeup(499 + SILENT_MS) == b""
        with pytest.raises(RemoteProtocolError) as caught:
            link.handle_wakeup(500 + SILENT_MS)
        assert caught.value.reason is Reason.SILENT


def test_a_silent_peer_ends_the_link() -> None:
    pair = Pair()
    pair.now_ms += KEEP_ALIVE_MS
    assert pair.dialler.handle_wakeup(pair.now_ms) != b""
    assert pair.dialler.next_wakeup_ms() == 1_000 + SILENT_MS
    assert pair.dialler.handle_wakeup(pair.now_ms + 1) == b""
    with pytest.raises(RemoteProtocolError) as caught:
        pair.dialler.handle_wakeup(1_000 + SILENT_MS)
    assert caught.value.reason is Reason.SILENT
    assert pair.dialler.goodbye(Reason.SILENT) != b""
    assert pair.dialler.next_wakeup_ms() == NEVER_MS


def test_any_byte_counts_as_a_sign_of_life() -> None:
    pair = Pair()
    pair.now_ms += SILENT_MS - 1
    assert pair.to_dialler(b"\0") == []
    assert pair.dialler.handle_wakeup(pair.now_ms + SILENT_MS - 1) == KeepAlive().frame(0)
    with pytest.raises(RemoteProtocolError):
        pair.dialler.handle_wakeup(pair.now_ms + SILENT_MS)


def test_what_is_sent_puts_the_keep_alive_off() -> None:
    pair = Pair()
    pair.now_ms += 40_000
    pair.to_dialler(pair.acceptor.push(Heads((b"a head",))))
    pair.dialler.request(Offer(LetterClass.NORMAL, ENVELOPE))
    assert pair.dialler.next_wakeup_ms() == pair.now_ms + KEEP_ALIVE_MS
    assert pair.dialler.handle_wakeup(pair.now_ms + KEEP_ALIVE_MS - 1) == b""
    assert pair.dialler.handle_wakeup(pair.now_ms + KEEP_ALIVE_MS) == KeepAlive().frame(0)


def test_a_late_wakeup_sends_one_keep_alive_only() -> None:
    pair = Pair()
    late_ms = pair.now_ms + KEEP_ALIVE_MS + 5_000
    assert pair.acceptor.handle_wakeup(late_ms) != b""
    assert pair.acceptor.handle_wakeup(late_ms) == b""


def test_after_the_peers_goodbye_its_silence_is_right() -> None:
    pair = Pair()
    pair.to_acceptor(pair.dialler.goodbye("stopping"))
    assert pair.acceptor.next_wakeup_ms() == NEVER_MS
    assert pair.acceptor.handle_wakeup(NEVER_MS) == b""


def test_after_our_goodbye_the_peers_is_awaited_for_90_seconds() -> None:
    pair = Pair()
    pair.dialler.goodbye("stopping")
    assert pair.dialler.next_wakeup_ms() == pair.now_ms + SILENT_MS
    assert pair.dialler.handle_wakeup(pair.now_ms + KEEP_ALIVE_MS) == b""
