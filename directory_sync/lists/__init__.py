"""Lists of mailboxes in the formats of others: read into rows, matched, written. Spec: spec/directory.md, 11.

Pure: lines, cells or resources in, frozen values out. Files, databases and passwords are node/lists/.
"""
