"""Every state of a link against everything that can be said in it. The tables here are the spec's, spec/wire.md, 5."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.codec import encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import encode_frame
from protocol.letter import LetterClass
from protocol.link import KEEP_ALIVE_MS, HalfState, Link, PeerGoodbye, PeerHello, Push, Reply, Request, Role
from protocol.link_states import FrameKind, may_receive, may_send
from protocol.messages import (
    MESSAGE_TYPES,
    REPLIES,
    Fork,
    Goodbye,
    Heads,
    Hello,
    KeepAlive,
    Message,
    Result,
    StatusQuery,
)
from tests.protocol.link_helpers import ENVELOPE_ID, SAMPLES, hello

S, T, D = HalfState.SILENT, HalfState.SPEAKING, HalfState.DONE
K = FrameKind
ALL = {K.KEEP_ALIVE, K.PUSH, K.REQUEST, K.REPLY, K.GOODBYE}
FIRST = {K.HELLO, K.GOODBYE}
QUERY = StatusQuery(ENVELOPE_ID)
ANSWER = Result(ENVELOPE_ID)

State = tuple[Role, HalfState, HalfState]


class Stage:
    """A link brought into a state. asked: the stream of a request of ours; asked_us: of one of the peer; 0 if none."""

    def __init__(self, role: Role) -> None:
        self.link = Link(role, hello(1), 0)
        self.peer_parity = 2 if role is Role.DIALLER else 1
        self.asked = 3 - self.peer_parity
        self.asked_us = self.peer_parity

    def hear(self, *messages: Message) -> Stage:
        for message in messages:
            self.link.receive(message.frame(0), 0)
        return self

    def start(self) -> Stage:
        assert self.link.start() != b""
        return self

    def leave(self) -> Stage:
        self.link.goodbye("stopping")
        return self

    def cut(self) -> Stage:
        with pytest.raises(RemoteProtocolError):
            self.link.receive(hello().frame(0), 0)
        return self

    def talk(self) -> Stage:
        stream, _ = self.link.request(QUERY)
        assert stream == self.asked
        assert self.link.receive(QUERY.frame(self.asked_us), 0) == [Request(self.asked_us, QUERY)]
        return self


def _dialler() -> Stage:
    return Stage(Role.DIALLER)


def _acceptor() -> Stage:
    return Stage(Role.ACCEPTOR)


BYE = Goodbye("stopping")
STATES: dict[State, Callable[[], Stage]] = {
    (Role.DIALLER, S, S): _dialler,
    (Role.DIALLER, S, T): lambda: _dialler().hear(hello()),
    (Role.DIALLER, S, D): lambda: _dialler().hear(BYE),
    (Role.DIALLER, T, T): lambda: _dialler().hear(hello()).start().talk(),
    (Role.DIALLER, T, D): lambda: _dialler().hear(hello()).start().talk().hear(BYE),
    (Role.DIALLER, D, S): lambda: _dialler().leave(),
    (Role.DIALLER, D, T): lambda: _dialler().hear(hello()).start().talk().leave(),
    (Role.DIALLER, D, D): lambda: _dialler().hear(hello()).start().talk().leave().hear(BYE),
    (Role.ACCEPTOR, S, S): _acceptor,
    (Role.ACCEPTOR, S, D): lambda: _acceptor().cut(),
    (Role.ACCEPTOR, T, S): lambda: _acceptor().start(),
    (Role.ACCEPTOR, T, T): lambda: _acceptor().start().hear(hello()).talk(),
    (Role.ACCEPTOR, T, D): lambda: _acceptor().start().hear(hello()).talk().hear(BYE),
    (Role.ACCEPTOR, D, S): lambda: _acceptor().start().leave(),
    (Role.ACCEPTOR, D, T): lambda: _acceptor().start().hear(hello()).talk().leave(),
    (Role.ACCEPTOR, D, D): lambda: _acceptor().start().hear(hello()).talk().hear(BYE).leave(),
}
# A dialler speaks only after it has heard something, an acceptor hears only after it has spoken.
UNREACHABLE = {(Role.DIALLER, T, S), (Role.ACCEPTOR, S, T)}

MAY_SEND: dict[State, set[FrameKind]] = {
    (Role.DIALLER, S, S): set(),
    (Role.DIALLER, S, T): FIRST,
    (Role.DIALLER, S, D): {K.GOODBYE},
    (Role.DIALLER, T, T): ALL,
    (Role.DIALLER, T, D): {K.PUSH, K.REPLY, K.GOODBYE},
    (Role.ACCEPTOR, S, S): FIRST,
    (Role.ACCEPTOR, S, D): {K.GOODBYE},
    (Role.ACCEPTOR, T, S): {K.GOODBYE},
    (Role.ACCEPTOR, T, T): ALL,
    (Role.ACCEPTOR, T, D): {K.PUSH, K.REPLY, K.GOODBYE},
}
MAY_RECEIVE: dict[State, set[FrameKind]] = {
    (Role.DIALLER, S, S): FIRST,
    (Role.DIALLER, S, T): {K.GOODBYE},
    (Role.DIALLER, T, T): ALL,
    (Role.DIALLER, D, S): FIRST,
    (Role.DIALLER, D, T): ALL,
    (Role.ACCEPTOR, T, S): FIRST,
    (Role.ACCEPTOR, T, T): ALL,
    (Role.ACCEPTOR, D, S): FIRST,
    (Role.ACCEPTOR, D, T): ALL,
}


def _name(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(item.name.lower() for item in value)
    return value.name.lower() if isinstance(value, FrameKind) else repr(value)


every_state = pytest.mark.parametrize("state", STATES, ids=_name)
every_kind = pytest.mark.parametrize("kind", FrameKind, ids=_name)


def test_all_states_are_here() -> None:
    pairs = {(role, own, peer) for role in Role for own in HalfState for peer in HalfState}
    assert set(STATES) == pairs - UNREACHABLE


@every_state
def test_the_stage_is_set(state: State) -> None:
    link = STATES[state]().link
    assert (link.role, link.own_half, link.peer_half) == state
    assert may_send(*state) == MAY_SEND.get(state, set())
    assert may_receive(*state) == MAY_RECEIVE.get(state, set())


@every_kind
@every_state
def test_receiving(state: State, kind: FrameKind) -> None:
    stage = STATES[state]()
    stream, message, event = {
        K.HELLO: (0, hello(), PeerHello(hello())),
        K.GOODBYE: (0, BYE, PeerGoodbye("stopping")),
        K.KEEP_ALIVE: (0, KeepAlive(), None),
        K.PUSH: (0, SAMPLES[Heads], Push(SAMPLES[Heads])),
        K.REQUEST: (stage.asked_us + 2, QUERY, Request(stage.asked_us + 2, QUERY)),
        K.REPLY: (stage.asked, ANSWER, Reply(stage.asked, ANSWER, True)),
    }[kind]
    data = message.frame(stream)
    if kind in MAY_RECEIVE.get(state, set()):
        if state[1] is D and kind is K.REQUEST:
            event = None  # it crossed our goodbye and cannot be answered
        assert stage.link.receive(data, 0) == ([] if event is None else [event])
        assert (stage.link.peer_half is D) == (kind is K.GOODBYE)
        return
    with pytest.raises(RemoteProtocolError) as caught:
        stage.link.receive(data, 0)
    assert caught.value.reason is Reason.WRONG_STATE
    assert stage.link.peer_half is D


@every_state
def test_extensions_are_passed_over_between_the_hellos_and_the_goodbyes_only(state: State) -> None:
    stage = STATES[state]()
    extension = bytes.fromhex("00000006800000000300")
    if K.KEEP_ALIVE in MAY_RECEIVE.get(state, set()):
        assert stage.link.receive(extension, 0) == []
        return
    with pytest.raises(RemoteProtocolError) as caught:
        stage.link.receive(extension, 0)
    assert caught.value.reason is Reason.WRONG_STATE


def _send(stage: Stage, kind: FrameKind) -> bytes:
    link = stage.link
    match kind:
        case K.HELLO:
            return link.start()
        case K.GOODBYE:
            return link.goodbye("stopping")
        case K.KEEP_ALIVE:
            return link.handle_wakeup(KEEP_ALIVE_MS)
        case K.PUSH:
            return link.push(SAMPLES[Heads])
        case K.REQUEST:
            return link.request(QUERY)[1]
        case K.REPLY:
            return link.reply(stage.asked_us, ANSWER)


# What to do while nobody can hear it is no bug: these give no bytes. To speak out of turn is one.
QUIET = {K.HELLO, K.GOODBYE, K.KEEP_ALIVE}
QUIET_AFTER_OUR_GOODBYE = {K.PUSH, K.REPLY}


@every_kind
@every_state
def test_sending(state: State, kind: FrameKind) -> None:
    stage = STATES[state]()
    if kind in MAY_SEND.get(state, set()):
        assert _send(stage, kind) != b""
    elif kind in QUIET or (state[1] is D and kind in QUIET_AFTER_OUR_GOODBYE):
        assert _send(stage, kind) == b""
    else:
        with pytest.raises(LocalProtocolError):
            _send(stage, kind)
    if kind is K.GOODBYE:
        assert stage.link.own_half is D
        assert stage.link.goodbye("again") == b""


@every_state
def test_the_end_of_the_stream(state: State) -> None:
    stage = STATES[state]()
    if D in state[1:]:
        stage.link.received_eof(0)
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            stage.link.received_eof(0)
        assert caught.value.reason is Reason.WRONG_STATE
    assert (stage.link.own_half, stage.link.peer_half) == (D, D)


@every_state
def test_windows_are_shut_while_the_link_is_not_open(state: State) -> None:
    link = STATES[state]().link
    is_open = state[1:] == (T, T)
    assert link.can_offer(LetterClass.NORMAL) == is_open
    assert link.can_request_bytes(1) == is_open
    assert link.can_request_control() == is_open


@pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())
@pytest.mark.parametrize("message", SAMPLES.values(), ids=lambda message: type(message).__name__)
def test_every_message_on_every_sort_of_stream(role: Role, message: Message) -> None:
    kind = type(message)
    fits = {
        "zero": kind in (Heads, Fork, Goodbye, KeepAlive),
        "peers": kind in REPLIES,
        "ours": kind is Result,
        "never_opened": False,
    }
    for sort, is_legal in fits.items():
        stage = STATES[role, T, T]()
        streams = {
            "zero": 0,
            "peers": stage.asked_us + 2,
            "ours": stage.asked,
            "never_opened": stage.asked + 2,
        }
        data = message.frame(streams[sort])
        if is_legal:
            stage.link.receive(data, 0)
            continue
        with pytest.raises(RemoteProtocolError) as caught:
            stage.link.receive(data, 0)
        assert caught.value.reason is Reason.WRONG_STATE, sort


@pytest.mark.parametrize("frame_type", sorted(set(range(256)) - set(MESSAGE_TYPES)))
def test_unknown_types(frame_type: int) -> None:
    link = STATES[Role.DIALLER, T, T]().link
    data = bytes([0, 0, 0, 5, frame_type, 0, 0, 0, 0])
    if frame_type >= 128:
        assert link.receive(data, 0) == []
        return
    with pytest.raises(RemoteProtocolError) as caught:
        link.receive(data, 0)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("rest", [b"\0", Heads(()).frame(0)], ids=["part_of_a_frame", "a_frame"])
def test_bytes_after_goodbye_in_the_same_read(rest: bytes) -> None:
    link = STATES[Role.DIALLER, T, T]().link
    with pytest.raises(RemoteProtocolError) as caught:
        link.receive(BYE.frame(0) + rest, 0)
    assert caught.value.reason is Reason.WRONG_STATE


def test_a_version_that_we_do_not_speak_can_be_answered_by_a_reason() -> None:
    link = _dialler().link
    fields = hello().fields() | {"v": 2}
    with pytest.raises(RemoteProtocolError) as caught:
        link.receive(encode_frame(Hello.TYPE, 0, encode(fields)), 0)
    assert caught.value.reason is Reason.UNKNOWN_VERSION
    assert link.start() == b""
    assert link.goodbye(caught.value.reason) == Goodbye("unknown_version").frame(0)
