"""Nodes on the same local network: announced and found, never trusted."""
