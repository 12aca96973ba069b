"""All messages: their frame types, and which reply to which. Spec: spec/wire.md, 4."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from protocol.message import Message
from protocol.messages_cosign import Cosigned, CosignGet, Held, HeldGet
from protocol.messages_directory import (
    FeedGet,
    FeedOps,
    Heads,
    LogProof,
    LogProofGet,
    News,
    NewsGet,
    Statements,
    StatementsGet,
)
from protocol.messages_fork import Fork
from protocol.messages_link import Cursor, Goodbye, Hello, KeepAlive
from protocol.messages_mail import (
    RESULT_STATUSES,
    Event,
    EventOk,
    MailboxResult,
    Offer,
    Result,
    StatusQuery,
    Wanted,
    Withdraw,
    inline_fits,
    split_results,
)
from protocol.messages_payload import (
    CIPHERTEXT_CHUNK_BYTES,
    MAX_RANGE_CHUNKS,
    RANGE_PIECE_BYTES,
    Gone,
    HashesData,
    HashesGet,
    RangeData,
    RangeGet,
    hashes_pieces,
    range_pieces,
)
from protocol.messages_relay import MAX_PASSED_BYTES, Pass, PassOk, Relayed

__all__ = [
    "CIPHERTEXT_CHUNK_BYTES",
    "MAX_PASSED_BYTES",
    "MAX_RANGE_CHUNKS",
    "MESSAGE_TYPES",
    "OPTIONAL_TYPES",
    "PUSHES",
    "RANGE_PIECE_BYTES",
    "REPLIES",
    "RESULT_STATUSES",
    "CosignGet",
    "Cosigned",
    "Cursor",
    "Event",
    "EventOk",
    "FeedGet",
    "FeedOps",
    "Fork",
    "Gone",
    "Goodbye",
    "HashesData",
    "HashesGet",
    "Heads",
    "Held",
    "HeldGet",
    "Hello",
    "KeepAlive",
    "LogProof",
    "LogProofGet",
    "MailboxResult",
    "Message",
    "News",
    "NewsGet",
    "Offer",
    "Pass",
    "PassOk",
    "RangeData",
    "RangeGet",
    "Relayed",
    "Result",
    "Statements",
    "StatementsGet",
    "StatusQuery",
    "Wanted",
    "Withdraw",
    "hashes_pieces",
    "inline_fits",
    "range_pieces",
    "split_results",
]

# From this number on, unknown types are optional extensions and are passed over; below it they end the link.
OPTIONAL_TYPES: Final = 128

REPLIES: Final = MappingProxyType[type[Message], tuple[type[Message], ...]](
    {
        Offer: (Result, Relayed, Wanted),
        StatusQuery: (Result,),
        HashesGet: (HashesData, Gone),
        RangeGet: (RangeData, Gone),
        Withdraw: (Result,),
        Event: (EventOk,),
        Pass: (PassOk,),
        CosignGet: (Cosigned,),
        HeldGet: (Held,),
        StatementsGet: (Statements, Gone),
        FeedGet: (FeedOps, Gone),
        LogProofGet: (LogProof, Gone),
        NewsGet: (News,),
    }
)
"""Each request with what may answer it."""

PUSHES: Final = frozenset[type[Message]]({Result, Relayed, Heads, Fork})
"""What is told on stream 0 and wants no answer. A result or custody, where the payload was pulled first."""

MESSAGE_TYPES: Final = MappingProxyType[int, type[Message]](
    {
        message.TYPE: message
        for message in (
            Hello,
            Goodbye,
            KeepAlive,
            Offer,
            Result,
            Wanted,
            StatusQuery,
            HashesGet,
            HashesData,
            RangeGet,
            RangeData,
            Gone,
            Withdraw,
            Event,
            EventOk,
            Relayed,
            Pass,
            PassOk,
            CosignGet,
            Cosigned,
            HeldGet,
            Held,
            StatementsGet,
            Statements,
            FeedGet,
            FeedOps,
            Heads,
            LogProofGet,
            LogProof,
            NewsGet,
            News,
            Fork,
        )
    }
)
"""Every message by its frame type."""
