"""Letters and slips as Hypothesis makes them."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

from protocol.crypto import Secret
from protocol.ids import FixedBytes, LetterId, MailboxId, NodeId, PayloadId, ThreadId
from protocol.letter import Attachment, Letter, LetterClass, Recipient, Sender
from protocol.slip import WRAP_BYTES, Slip, SlipRecipient
from protocol.texts import is_file_name, is_line
from spec.vectors.sample_sealing import SENDER_SECRET

__all__ = ["addresses", "fixed", "letters", "slips"]

_Id = TypeVar("_Id", bound=FixedBytes)
_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789"


def fixed(kind: type[_Id]) -> st.SearchStrategy[_Id]:
    """Any id of a kind."""
    return st.binary(min_size=kind.LENGTH, max_size=kind.LENGTH).map(kind)


_parts = st.text(_PLAIN, min_size=1, max_size=12)
addresses = st.builds(
    lambda local, domain: f"{'.'.join(local)}@{'.'.join(domain)}",
    st.lists(_parts, min_size=1, max_size=3),
    st.lists(_parts, min_size=2, max_size=3),
)
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
_times = st.integers(0, 2**62)
_recipients = st.builds(Recipient, node=fixed(NodeId), mailbox=fixed(MailboxId), address=addresses)
_attachments = st.builds(
    Attachment,
    name=_text.filter(is_file_name),
    media_type=st.builds("{}/{}".format, _parts, _parts),
    size=st.integers(0, 2**20),
    sha256=st.binary(min_size=32, max_size=32),
)


@st.composite
def letters(draw: st.DrawFn) -> Letter:
    """Letters that may be sent, by the sample sender."""
    named = draw(
        st.lists(_recipients, min_size=1, max_size=6, unique_by=lambda item: (bytes(item.node), bytes(item.mailbox)))
    )
    first_copy = draw(st.integers(1, len(named)))
    return Letter(
        letter_id=draw(fixed(LetterId)),
        sender=Sender(
            node=draw(fixed(NodeId)),
            mailbox=draw(fixed(MailboxId)),
            key=SENDER_SECRET.verify_key,
            address=draw(addresses),
        ),
        to=tuple(named[:first_copy]),
        cc=tuple(named[first_copy:]),
        subject=draw(_text.filter(is_line)),
        text=draw(_text),
        thread=draw(fixed(ThreadId)),
        time_ms=draw(_times),
        letter_class=draw(st.sampled_from(LetterClass)),
        attachments=tuple(draw(st.lists(_attachments, max_size=3))),
        by=draw(st.none() | st.binary(min_size=1, max_size=50)),
        card=draw(st.none() | st.binary(min_size=1, max_size=50)),
    )


_slip_recipients = st.builds(
    SlipRecipient,
    fixed(MailboxId),
    # Wraps are opaque to a slip: their bytes need not vary in each place.
    st.binary(min_size=1, max_size=8).map(lambda piece: (piece * WRAP_BYTES)[:WRAP_BYTES]),
)

slips = st.builds(
    Slip,
    sender_node=fixed(NodeId),
    statement_number=st.integers(0, 2**31 - 1),
    destination=fixed(NodeId),
    letter_id=fixed(LetterId),
    payload_id=fixed(PayloadId),
    letter_class=st.sampled_from(LetterClass),
    sent_at_ms=_times,
    expires_at_ms=_times,
    reply_key=st.binary(min_size=32, max_size=32).map(Secret),
    recipients=st.lists(_slip_recipients, min_size=1, max_size=40, unique_by=lambda item: bytes(item.mailbox)).map(
        tuple
    ),
)
