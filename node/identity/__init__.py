"""The node's own keys: kept, renewed, recovered, taken up while it runs. Spec: spec/identity.md, 9."""
