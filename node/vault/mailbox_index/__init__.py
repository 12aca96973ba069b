"""The sealed index of a mailbox: lists, threads and searches without opening each letter.

Spec: spec/mailbox-index.md.
"""
