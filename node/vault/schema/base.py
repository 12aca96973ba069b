"""What every table of the schema is made with."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData

__all__ = ["id_column", "metadata", "sealed_column", "time_column"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str = "id", **kwargs: object) -> Column[bytes]:
    """16 bytes: an id, or a blinded value."""
    return Column(name, LargeBinary(16), nullable=False, **kwargs)  # type: ignore[arg-type]


def time_column(name: str, **kwargs: object) -> Column[int]:
    """Milliseconds UTC since 1970."""
    return Column(name, BigInteger, **{"nullable": False, **kwargs})  # type: ignore[arg-type]


def sealed_column(name: str = "sealed", *, nullable: bool = False) -> Column[bytes]:
    """Bytes that open with the data key only."""
    return Column(name, LargeBinary, nullable=nullable)
