"""A passkey in Python, which can also answer wrongly: what a browser and its authenticator send (WebAuthn 2)."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["SoftPasskey"]

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class SoftPasskey:
    """One credential. origin, rp_id, flags, count: as it will answer."""

    origin: str
    rp_id: str
    credential: bytes = b"passkey-of-a-test"
    flags: int = PRESENT | VERIFIED
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(told).encode()

    def _head(self, extra: int = 0) -> bytes:
        flags = bytes([self.flags | extra])
        return hashlib.sha256(self.rp_id.encode()).digest() + flags + self.count.to_bytes(4, "big")

    def _answer(self, response: dict[str, bytes]) -> str:
        encoded = {name: _text(value) for name, value in response.items()}
        name = _text(self.credential)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": encoded})

    def register(self, options: dict[str, Any]) -> str:
        """The browser's answer to navigator.credentials.create."""
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        name = len(self.credential).to_bytes(2, "big") + self.credential
        data = self._head(ATTESTED) + bytes(16) + name + cbor2.dumps(public)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options)
        return self._answer({"clientDataJSON": client, "attestationObject": attestation})

    def sign(self, options: dict[str, Any]) -> str:
        """The browser's answer to navigator.credentials.get."""
        self.count += 1
        client, data = self._client("webauthn.get", options), self._head()
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer({"clientDataJSON": client, "authenticatorData": data, "signature": signature})
