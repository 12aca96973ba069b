"""How long letters are kept, what holds them, and how they are erased. Spec: spec/retention.md."""
