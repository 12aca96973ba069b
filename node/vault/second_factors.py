"""Second factors: authenticators by time-based codes, passkeys, recovery codes. Spec: spec/web.md, 9.

What the browser and the authenticator sent is checked by py_webauthn; codes by pyotp. Rows: node/vault/factor_rows.py.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from node.errors import NotFoundError, WrongSecretError
from node.vault.accounts import Account, AccountRows
from node.vault.database import Database
from node.vault.factor_rows import (
    CodeTry,
    Factor,
    FactorKind,
    FactorRows,
    NewFactor,
    PasskeyUse,
    Removal,
    matching_step,
)
from node.vault.sealing import RowKeys
from protocol.crypto import Secret

__all__ = ["CHALLENGE_BYTES", "TOTP_SECRET_BYTES", "SecondFactors", "totp_secret"]

CHALLENGE_BYTES: Final = 32
TOTP_SECRET_BYTES: Final = 20
"""160 bits, as RFC 4226 recommends; without padding in base32."""
RECOVERY_CODES: Final = 10
# Without letters that are read as others: 31 to the power of 10 is some 49 bits, behind a keyed hash and the lock.
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_CODE_LETTERS: Final = 10
_MAX_NAME: Final = 60
_MAX_RESPONSE: Final = 32 * 1024


def totp_secret(raw: bytes) -> Secret:
    """The secret as authenticators take it, base32. raw: TOTP_SECRET_BYTES."""
    return Secret(base64.b32encode(raw))


@dataclass(frozen=True, slots=True)
class _Place:
    """Whom passkeys are made for. id: the host of the pages, the RP id of WebAuthn; origin: of the pages."""

    id: str
    origin: str


class SecondFactors:
    """Adds, checks and removes second factors of one sort of accounts."""

    def __init__(self, database: Database, keys: RowKeys, accounts: AccountRows, *, institution: str, url: str) -> None:
        """url: [web] url; without it there are no passkeys, which are bound to a host's name."""
        self._database = database
        self._keys = keys
        self.rows = FactorRows(keys, accounts, database.world.random_bytes)
        self._institution = institution
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._place = _Place(host, f"{parts.scheme}://{parts.netloc}") if host and not _is_address(host) else None

    @property
    def takes_passkeys(self) -> bool:
        """Whether the pages have a host name that passkeys can be bound to."""
        return self._place is not None

    async def of_account(self, account: bytes) -> list[Factor]:
        """The factors of an account, recovery codes among them."""
        return await self._database.read(self.rows.of_account, account)

    async def enrolled(self, account: bytes) -> bool:
        """Whether the account has one; recovery codes alone are none."""
        return any(factor.kind is not FactorKind.CODES for factor in await self.of_account(account))

    # -- codes

    def totp_address(self, secret: Secret, name: str) -> str:
        """The otpauth: address for an authenticator, which the QR code shows."""
        import pyotp

        made = pyotp.TOTP(secret.reveal().decode(), name=name, issuer=self._institution.replace(":", " "))
        return made.provisioning_uri()

    async def add_totp(
        self, account: Account, secret: Secret, code: str, name: str, *, session: bytes | None
    ) -> Factor:
        """Add an authenticator that shows the right code now. WrongSecretError, LimitError."""
        now_ms = self._database.world.now_ms()
        step = matching_step(secret, code.replace(" ", ""), now_ms=now_ms, after=0)
        if step is None:
            raise WrongSecretError("this is not the present code", hint="check the telephone's clock, and try again")
        made = Factor(row=b"", created_at_ms=0, kind=FactorKind.TOTP, name=_name(name), secret=secret, last_step=step)
        return await self._database.write(self.rows.add, NewFactor(account=account.id, factor=made, session=session))

    async def check_code(self, account: Account, code: str) -> FactorKind | None:
        """What the code was: of an authenticator or a recovery code; None for a wrong one, which counts as a wrong
        password, or while the account is locked.
        """
        return await self._database.write(self.rows.try_code, CodeTry(account.id, code[:64]))

    async def new_recovery_codes(self, account: Account) -> list[str]:
        """Ten codes, to be shown once; those of before are worth nothing any more."""
        codes = [self._draw_code() for _ in range(RECOVERY_CODES)]
        names = b"".join(self.rows.code_name(account.id, code) for code in codes)
        made = Factor(row=b"", created_at_ms=0, kind=FactorKind.CODES, name="", codes=names)
        await self._database.write(self.rows.add, NewFactor(account=account.id, factor=made))
        return [f"{code[:5]}-{code[5:]}" for code in codes]

    def _draw_code(self) -> str:
        letters: list[str] = []
        while len(letters) < _CODE_LETTERS:
            # Each is drawn evenly: bytes beyond 8 x 31 are dropped.
            letters += [_ALPHABET[byte % 31] for byte in self._database.world.random_bytes(16) if byte < 248]
        return "".join(letters[:_CODE_LETTERS])

    # -- passkeys

    def _passkey_place(self) -> _Place:
        if self._place is None:
            raise NotFoundError("these pages take no passkeys", hint="[web] url has to name a host")
        return self._place

    async def registration_options(self, account: Account, challenge: bytes) -> dict[str, Any]:
        """What the browser needs to make a passkey, as JSON."""
        import webauthn
        from webauthn.helpers import structs

        place = self._passkey_place()
        options = webauthn.generate_registration_options(
            rp_id=place.id,
            rp_name=self._institution,
            user_id=self._keys.blind("passkey-user", account.id),
            user_name=account.login_name,
            challenge=challenge,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.DISCOURAGED,
                user_verification=structs.UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=await self._descriptors(account),
        )
        return _as_json(webauthn.options_to_json(options))

    async def _descriptors(self, account: Account) -> list[Any]:
        from webauthn.helpers import structs

        return [
            structs.PublicKeyCredentialDescriptor(id=factor.credential)
            for factor in await self.of_account(account.id)
            if factor.kind is FactorKind.PASSKEY
        ]

    async def add_passkey(
        self, account: Account, response: str, challenge: bytes, name: str, *, session: bytes | None
    ) -> Factor:
        """Add the passkey that the browser made for this challenge. WrongSecretError, LimitError, StateError."""
        import webauthn
        from webauthn.helpers.exceptions import WebAuthnException

        place = self._passkey_place()
        try:
            made = webauthn.verify_registration_response(
                credential=_parsed(response),
                expected_challenge=challenge,
                expected_rp_id=place.id,
                expected_origin=place.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise _refused() from error
        factor = Factor(
            row=b"",
            created_at_ms=0,
            kind=FactorKind.PASSKEY,
            name=_name(name),
            credential=made.credential_id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
        )
        return await self._database.write(self.rows.add, NewFactor(account=account.id, factor=factor, session=session))

    async def authentication_options(self, account: Account, challenge: bytes) -> dict[str, Any]:
        """What the browser needs to use one of the account's passkeys, as JSON."""
        import webauthn
        from webauthn.helpers import structs

        options = webauthn.generate_authentication_options(
            rp_id=self._passkey_place().id,
            challenge=challenge,
            allow_credentials=await self._descriptors(account),
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        )
        return _as_json(webauthn.options_to_json(options))

    async def check_passkey(self, account: Account, response: str, challenge: bytes) -> bool:
        """Whether one of the account's passkeys signed this challenge, its user verified. A wrong answer counts as a
        wrong password; none is right while the account is locked.
        """
        import webauthn
        from webauthn.helpers import base64url_to_bytes
        from webauthn.helpers.exceptions import WebAuthnException

        place = self._passkey_place()
        used = PasskeyUse(account.id, b"", None)
        try:
            parsed = _parsed(response)
            wanted = base64url_to_bytes(parsed["rawId"])
            for factor in await self.of_account(account.id):
                if factor.kind is FactorKind.PASSKEY and factor.credential == wanted:
                    verified = webauthn.verify_authentication_response(
                        credential=parsed,
                        expected_challenge=challenge,
                        expected_rp_id=place.id,
                        expected_origin=place.origin,
                        credential_public_key=factor.public_key,
                        credential_current_sign_count=factor.sign_count,
                        require_user_verification=True,
                    )
                    used = PasskeyUse(account.id, factor.row, verified.new_sign_count)
        except (WebAuthnException, WrongSecretError, ValueError, KeyError, TypeError):
            used = PasskeyUse(account.id, b"", None)
        return await self._database.write(self.rows.use_passkey, used)

    # -- removing

    async def remove(self, account: bytes, row: bytes | None, *, by: str, keep_one: bool = False) -> int:
        """Remove a factor, or all (row: None). by, keep_one: see Removal. NotFoundError, StateError."""
        return await self._database.write(self.rows.remove, Removal(account=account, row=row, by=by, keep_one=keep_one))


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _name(text: str) -> str:
    shown = "".join(letter for letter in text if letter.isprintable()).strip()
    return shown[:_MAX_NAME]


def _as_json(text: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(text)
    return made


def _refused() -> WrongSecretError:
    return WrongSecretError("the passkey was not made or not checked", hint="try again")


def _parsed(response: str) -> dict[str, Any]:
    if len(response) > _MAX_RESPONSE:
        raise _refused()
    try:
        parsed = json.loads(response)
    except (ValueError, RecursionError):
        raise _refused() from None
    if not isinstance(parsed, dict):
        raise _refused()
    return parsed
