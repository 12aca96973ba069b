"""What large feeds cost, in a process of its own: checks and posting lists (spec/decisions/0007-feeds-process.md)."""
