"""Alerts: telling a person that a letter waits, without anything of the letter."""
