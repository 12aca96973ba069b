"""What is counted of the own log, and what institutions publish of theirs (spec/statistics.md)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger, String, Table

from node.vault.schema.base import metadata, sealed_column, time_column

__all__ = ["feed_totals", "statistics_months"]

# Sums of each month (year times twelve, and the month from 0): part 0 the sums, part 1 who was active.
statistics_months = Table(
    "statistics_months",
    metadata,
    Column("month", Integer, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False),
    sealed_column(),
)

# Monthly totals that institutions publish: the newest and the first entry of each month, `YYYY-MM`; month empty: those
# that count for nothing, the newest of them in `fault`. made: how many operations there were.
feed_totals = Table(
    "feed_totals",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("made", BigInteger, nullable=False),
    time_column("at_ms"),
    Column("entry", LargeBinary, nullable=False),
    Column("first_entry", LargeBinary, nullable=False),
    Column("fault", String(32), nullable=False),
)
