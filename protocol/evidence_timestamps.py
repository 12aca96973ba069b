"""The timestamps of an evidence file: which heads they stamp, and when. Spec: spec/evidence.md, 10 and 14."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from protocol.checkpoint import peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence_findings import Defect, Doubt, TimestampFinding
from protocol.timestamp import TsaRoots, head_imprint, read_timestamp, verify_timestamp

__all__ = ["StampedHeads"]


class StampedHeads:
    """The timestamps of one file, checked. roots: None if the reader has no authority's certificate."""

    def __init__(self, tokens: Sequence[bytes], heads: Iterable[bytes], roots: TsaRoots | None) -> None:
        """heads: those of all proofs of the file, as they stand there."""
        self._roots = roots
        self._heads: dict[bytes, bytes] = {}
        if tokens:
            for head in heads:
                try:
                    self._heads.setdefault(head_imprint(head), head)
                except RemoteProtocolError:
                    continue  # its item has the defect
        self._earliest_ms: dict[bytes, int] = {}
        self.findings = tuple(self._check(token) for token in tokens)

    def _check(self, token: bytes) -> TimestampFinding:
        try:
            stamp = read_timestamp(token) if self._roots is None else verify_timestamp(token, self._roots)
            head = self._heads.get(stamp.imprint)
            if head is None:
                raise RemoteProtocolError(Reason.MISMATCH, "a timestamp over no head of this file")
        except RemoteProtocolError as error:
            return TimestampFinding(None, None, Defect.of(error))
        if self._roots is not None:
            self._earliest_ms[head] = min(stamp.time_ms, self._earliest_ms.get(head, stamp.time_ms))
        doubts = () if self._roots is not None else (Doubt.TIMESTAMP_UNCONFIRMED,)
        return TimestampFinding(stamp, peek_checkpoint(head), None, doubts)

    def existed_at_ms(self, head: bytes) -> int | None:
        """When this head existed at the latest, according to an authority that the reader trusts."""
        return self._earliest_ms.get(head)
