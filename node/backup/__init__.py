"""Backups: one archive format for both databases, written while the node runs, restored into an empty folder."""
