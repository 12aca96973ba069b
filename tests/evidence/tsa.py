"""A timestamping authority made with openssl: its certificates, its answers, and a small HTTP server before it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.timestamp import TsaRoots

__all__ = ["Answer", "Authority", "serving"]

_CONFIG = """
[tsa]
default_tsa=ours
[ours]
serial={folder}/serial
signer_digest=sha256
default_policy={policy}
digests=sha256,sha512
ess_cert_id_alg=sha256
"""


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Autorité Fictive"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority in a folder of its own."""

    folder: Path

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        policy: str = "1.2.3.4.1",
        days: tuple[int, int] = (-10, 3650),
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING,
    ) -> Authority:
        """A CA and a signer. days: from when to when the signer's certificate is valid, from today."""
        folder.mkdir(parents=True)
        now = datetime.now(UTC)
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        base = x509.CertificateBuilder().issuer_name(_name("Racine"))
        root = (
            base.subject_name(_name("Racine"))
            .public_key(root_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=4000))
            .not_valid_after(now + timedelta(days=9000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        signer = (
            base.subject_name(_name("Horodatage"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / "ca.pem").write_bytes(root.public_bytes(pem))
        (folder / "signer.pem").write_bytes(signer.public_bytes(pem))
        (folder / "signer.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder, policy=policy))
        return cls(folder)

    @property
    def ca_file(self) -> Path:
        """The CA's certificate, PEM."""
        return self.folder / "ca.pem"

    @property
    def roots(self) -> TsaRoots:
        """The CA's certificate as a reader trusts it."""
        return TsaRoots.from_pem(self.ca_file.read_bytes())

    def answer(self, query: bytes) -> bytes:
        """What the authority answers to a request (DER)."""
        asked, answered = self.folder / "asked.tsq", self.folder / "answered.tsr"
        asked.write_bytes(query)
        names = ("-queryfile", asked, "-out", answered, "-config", self.folder / "tsa.cnf")
        keys = ("-signer", self.folder / "signer.pem", "-inkey", self.folder / "signer.key")
        subprocess.run(["openssl", "ts", "-reply", *names, *keys], check=True, capture_output=True)
        return answered.read_bytes()


@dataclass(slots=True)
class Answer:
    """What the server answers now: a function of the request, and a status. asked: the requests so far."""

    body: Callable[[bytes], bytes]
    status: int = 200
    asked: int = 0


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """An HTTP server on 127.0.0.1 that answers so; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            answer.asked += 1
            body = answer.body(query)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # the node had read enough
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
