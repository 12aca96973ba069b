"""Whom this node trusts on whose word: maintainers, and what follows from what they say."""
