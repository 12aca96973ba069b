"""The vault: what a node keeps, how it is sealed at rest, and the one way to change it (vault/database.py)."""
