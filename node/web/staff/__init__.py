"""Pages of who administers, maintains or audits the node. Spec: spec/staff.md."""
