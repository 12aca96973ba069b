"""Origins and signed heads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.checkpoint import (
    Checkpoint,
    CheckpointVerifier,
    feed_origin,
    log_origin,
    open_checkpoint,
    parse_origin,
    peek_checkpoint,
    sign_checkpoint,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from spec.vectors.sample_node import bytes_of, signing_secret_of

NODE = NodeId(bytes_of("node"))
SECRET = signing_secret_of("log")
ROOT = bytes_of("root")


@given(node=st.binary(min_size=32, max_size=32).map(NodeId), epoch=st.integers(1, 2**31 - 1))
def test_an_origin_names_one_log(node: NodeId, epoch: int) -> None:
    assert parse_origin(log_origin(node, epoch)) == ("log", node, epoch)
    assert parse_origin(feed_origin(node, epoch)) == ("feed", node, epoch)


@pytest.mark.parametrize("epoch", ["0", "-1", "01", "1 ", "+1", "1_0", "\u0661", str(2**31), "9" * 5000, ""])
def test_another_spelling_of_an_epoch_is_refused(epoch: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_origin(f"coffre/{NODE.text}/log/{epoch}")
    assert caught.value.reason is Reason.MALFORMED


@given(text=st.text(max_size=90))
def test_a_foreign_origin_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_origin(text)


@given(size=st.integers(0, 2**53 - 1), root=st.binary(min_size=32, max_size=32))
def test_a_head_reads_back_as_it_was_signed(size: int, root: bytes) -> None:
    head = Checkpoint(log_origin(NODE, 1), size, root)
    raw = sign_checkpoint(head, SECRET)
    assert peek_checkpoint(raw) == head
    assert open_checkpoint(raw, origin=head.origin, keys=[SECRET.verify_key]) == head


@pytest.mark.parametrize(("size", "root"), [(-1, ROOT), (2**53, ROOT), (1, ROOT[:31])])
def test_a_head_that_cannot_be_is_our_mistake(size: int, root: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        sign_checkpoint(Checkpoint(log_origin(NODE, 1), size, root), SECRET)


def test_another_origin_than_the_one_asked_for() -> None:
    raw = sign_checkpoint(Checkpoint(log_origin(NODE, 1), 1, ROOT), SECRET)
    with pytest.raises(RemoteProtocolError) as caught:
        open_checkpoint(raw, origin=log_origin(NODE, 2), keys=[SECRET.verify_key])
    assert caught.value.reason is Reason.MISMATCH


def test_no_keys_at_all() -> None:
    raw = sign_checkpoint(Checkpoint(log_origin(NODE, 1), 1, ROOT), SECRET)
    with pytest.raises(RemoteProtocolError) as caught:
        CheckpointVerifier(NODE, []).open(raw)
    assert caught.value.reason is Reason.UNKNOWN_KEY


def test_a_verifier_answers_alike_after_it_has_forgotten() -> None:
    verifier = CheckpointVerifier(NODE, [SECRET.verify_key])
    heads = [Checkpoint(log_origin(NODE, 1), size, ROOT) for size in range(300)]
    raws = [sign_checkpoint(head, SECRET) for head in heads]
    assert [verifier.open(raw) for raw in raws] == heads
    assert [verifier.open(raw) for raw in raws[:3]] == heads[:3]


def test_a_head_of_before_is_believed_only_as_it_was() -> None:
    verifier = CheckpointVerifier(NODE, [SECRET.verify_key])
    raw = sign_checkpoint(Checkpoint(log_origin(NODE, 1), 5, ROOT), SECRET)
    verifier.open(raw)
    with pytest.raises(RemoteProtocolError) as caught:
        verifier.open(raw.replace(b"\n5\n", b"\n6\n"))
    assert caught.value.reason is Reason.BAD_SIGNATURE
