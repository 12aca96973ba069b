"""Alembic migrations of the vault's schema."""
