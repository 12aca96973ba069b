"""The node's own log: leaves appended in the transaction that they witness, heads signed before the commit."""
