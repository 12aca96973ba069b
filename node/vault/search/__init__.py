"""Search in the directory: an inverted index in tables of the vault, alike on both databases.

Spec: spec/directory.md, 9; why not the databases' own full-text search: spec/decisions/0004-search-index.md.
"""
