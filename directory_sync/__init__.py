"""Who is where, whose key is whose: following feeds, looking names up, meeting other nodes.

Written on anyio, so that a maintainer's own program can use it under trio or asyncio; no disk and no sockets here.
"""
