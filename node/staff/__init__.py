"""Accounts of who administers, maintains or audits a node. Spec: spec/staff.md."""
