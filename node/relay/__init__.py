"""Relaying: keeping letters for nodes that cannot be reached, and reaching such nodes. Spec: spec/relay.md."""
