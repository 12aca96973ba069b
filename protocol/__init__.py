"""Coffre's protocol, sans-IO: bytes and values in, bytes and events out.

Nothing here opens a socket or a file, reads a clock or draws randomness: times, ids, keys and
nonces are arguments (the one exception is HPKE sealing, whose library draws its own ephemeral
key). Import the module that holds what you need; nothing is re-exported here, so that a command
pays only for what it uses.
"""
