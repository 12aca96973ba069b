"""Our logs, notes and proofs under the eyes of software that others wrote."""
