"""A new certificate of the pages, while they are served. Spec: spec/operation.md, 6."""

from __future__ import annotations

import ssl
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from node.app import Node
from node.errors import ConfigError
from node.web.certificate import make_web_certificate
from tests.web.published import made_node, running_node

NOW_MS = 1_796_000_000_000
SETTINGS = 'listen = "127.0.0.1:0"\ncertificate_file = "pages.pem"\nkey_file = "pages.key"\n'
_FORM = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"


def put(folder: Path) -> bytes:
    """A new certificate with its key in the place of what is there; as clients get it."""
    certificate = folder / "pages.pem"
    make_web_certificate(certificate, folder / "pages.key", ["localhost"], now_ms=NOW_MS)
    return ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))


async def connect(node: Node) -> trio.SSLStream[trio.SocketStream]:
    """A new TLS connection to the pages, of a client that looks at the certificate itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = node.web_listening_on.rpartition(":")
    stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=context, https_compatible=True)
    await stream.do_handshake()
    return stream


async def served(node: Node) -> bytes:
    """The certificate that a new connection gets."""
    async with aclosing(await connect(node)) as stream:
        return bytes(stream.getpeercert(binary_form=True))


async def reload(node: Node) -> None:
    """As `coffre reload` has it done."""
    assert node.operation is not None
    await node.operation.reloader.reload()


async def test_a_new_certificate_counts_for_new_connections(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=SETTINGS)
    first = put(folder)
    own = folder / "web" / "certificate.pem"
    own.parent.mkdir(exist_ok=True)
    own.write_bytes((folder / "pages.pem").read_bytes())  # what the client of running_node is told to trust
    other = tmp_path / "other.key"
    make_web_certificate(tmp_path / "other.pem", other, ["localhost"], now_ms=NOW_MS)
    async with running_node(folder) as (node, _), aclosing(await connect(node)) as old:
        await old.send_all(_FORM)  # a request under way
        second = put(folder)
        assert await served(node) == first
        await reload(node)
        assert await served(node) == second
        # What does not load, or has another's key, is refused, and nothing is changed.
        for name, content in (("pages.pem", b"no certificate"), ("pages.key", other.read_bytes())):
            good = (folder / name).read_bytes()
            (folder / name).write_bytes(content)
            with pytest.raises(ConfigError, match="does not load"):
                await reload(node)
            assert await served(node) == second
            (folder / name).write_bytes(good)
        # The connection from before goes on, under its certificate.
        assert old.getpeercert(binary_form=True) == first
        await old.send_all(b"a=bc")
        answer = b""
        while more := await old.receive_some(65_536):
            answer += more
        assert answer.startswith(b"HTTP/1.1 403")
