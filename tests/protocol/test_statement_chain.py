"""Chains of statements: renewal, recovery, forks, and the profile of link certificates. Spec: spec/identity.md."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

import pytest

from protocol.certificate import build_certificate, check_certificate, private_key_pem
from protocol.crypto import SealSecret, SigningSecret
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.invite import Invite, decode_invite, encode_invite
from protocol.statement import (
    PQ_KEY_BYTES,
    Statement,
    StatementChain,
    encode_statement,
    node_digits,
    parse_digits,
    sign_statement,
)

RANDOM = random.Random(11)
NOW_MS = 1_790_000_000_000


def secret() -> SigningSecret:
    return SigningSecret(RANDOM.randbytes(32))


RECOVERY = secret()
IDS = [secret() for _ in range(5)]


def statement(number: int, previous: bytes | None, identity: SigningSecret, bad_from_ms: int | None = None) -> bytes:
    return encode_statement(
        Statement(
            number=number,
            previous=previous,
            identity_key=identity.verify_key,
            recovery_key=RECOVERY.verify_key,
            link_certificates=(build_certificate(secret()),),
            log_key=secret().verify_key,
            witness_key=secret().verify_key,
            pq_key=bytes(PQ_KEY_BYTES),
            seal_keys=(SealSecret(RANDOM.randbytes(96)).seal_key,),
            valid_from_ms=NOW_MS,
            valid_until_ms=NOW_MS + 1000,
            bad_from_ms=bad_from_ms,
        )
    )


def renewal(chain: StatementChain, new: SigningSecret, old: SigningSecret) -> bytes:
    number = len(chain.statements)
    return sign_statement(statement(number, chain.statements[-1].hash, new), own=new, previous=old)


def recovery(chain: StatementChain, number: int, new: SigningSecret) -> bytes:
    before = chain.statements[number - 1].hash
    return sign_statement(statement(number, before, new, bad_from_ms=NOW_MS), own=new, recovery=RECOVERY)


GENESIS = sign_statement(statement(0, None, IDS[0]), own=IDS[0])


@pytest.fixture
def chain() -> StatementChain:
    first = StatementChain.from_genesis(GENESIS)
    return first.extend(renewal(first, IDS[1], IDS[0]))


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        call()
    return caught.value.reason


def test_renewal_keeps_the_id_and_changes_the_keys(chain: StatementChain) -> None:
    assert chain.node_id == StatementChain.from_genesis(GENESIS).node_id
    assert chain.current.identity_key == IDS[1].verify_key
    assert StatementChain.from_raw_list(chain.raw_list()) == chain
    assert chain.extend(chain.statements[1].raw) is chain


def test_renewal_by_a_stranger_is_refused(chain: StatementChain) -> None:
    assert reason_of(lambda: chain.extend(renewal(chain, IDS[2], IDS[4]))) is Reason.BAD_SIGNATURE
    unsigned = sign_statement(statement(2, chain.statements[1].hash, IDS[2]), own=IDS[2])
    assert reason_of(lambda: chain.extend(unsigned)) is Reason.BAD_SIGNATURE


def test_statement_out_of_place_is_refused(chain: StatementChain) -> None:
    far = sign_statement(statement(3, chain.statements[1].hash, IDS[2]), own=IDS[2], previous=IDS[1])
    assert reason_of(lambda: chain.extend(far)) is Reason.MISMATCH
    other = sign_statement(statement(2, bytes(32), IDS[2]), own=IDS[2], previous=IDS[1])
    assert reason_of(lambda: chain.extend(other)) is Reason.MISMATCH


def test_two_successors_are_a_fork(chain: StatementChain) -> None:
    first = StatementChain.from_genesis(GENESIS)
    assert reason_of(lambda: chain.extend(renewal(first, IDS[3], IDS[0]))) is Reason.FORK


def test_recovery_cancels_what_a_thief_signed_whichever_comes_first(chain: StatementChain) -> None:
    thief = renewal(chain, IDS[2], IDS[1])
    repaired = recovery(chain, 1, IDS[3])
    one = chain.extend(thief).extend(repaired)
    assert one.current.identity_key == IDS[3].verify_key
    assert len(one.statements) == 2
    assert StatementChain.from_raw_list(one.raw_list()).current == one.current
    late = StatementChain.from_genesis(GENESIS).extend(repaired).extend(chain.statements[1].raw).extend(thief)
    assert late.current.identity_key == IDS[3].verify_key
    assert IDS[2].verify_key not in {item.statement.identity_key for item in late.statements}


def test_lost_log_keys_are_not_believed_live(chain: StatementChain) -> None:
    lost = chain.current.log_key
    repaired = chain.extend(recovery(chain, 1, IDS[3]))
    assert lost in repaired.log_keys()
    assert lost not in repaired.trusted_log_keys()


def test_a_stranger_cannot_add_to_what_was_cancelled(chain: StatementChain) -> None:
    repaired = chain.extend(recovery(chain, 1, IDS[3]))
    cancelled = chain.statements[1]
    forged = sign_statement(statement(2, cancelled.hash, IDS[4]), own=IDS[4], previous=IDS[4])
    assert reason_of(lambda: repaired.extend(forged)) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("step", [97, 101])
def test_every_altered_byte_is_noticed(step: int) -> None:
    for position in range(0, len(GENESIS), step):
        altered = GENESIS[:position] + bytes([GENESIS[position] ^ 0x20]) + GENESIS[position + 1 :]
        with pytest.raises(RemoteProtocolError):
            StatementChain.from_genesis(altered)


def test_validity_in_time(chain: StatementChain) -> None:
    assert chain.in_force(1, NOW_MS)
    assert not chain.in_force(1, NOW_MS - 1)
    assert not chain.in_force(1, NOW_MS + 1000)
    assert not chain.in_force(2, NOW_MS)


def test_digits_are_thirty_and_forgiving(chain: StatementChain) -> None:
    digits = node_digits(chain.node_id)
    assert len(digits.split()) == 6
    assert parse_digits(digits.replace(" ", "-")) == digits
    for wrong in ("12345", digits + "1", digits[:-1] + "x"):
        with pytest.raises(ValueError, match="30 digits"):
            parse_digits(wrong)


def test_invitation_round_trip_and_copying_mistakes() -> None:
    chain = StatementChain.from_genesis(GENESIS)
    invite = Invite(
        chain=chain, institution="Clinique", domain="c.example", endpoints=("c.example:7400",), made_at_ms=NOW_MS
    )
    text = encode_invite(invite, IDS[0])
    assert decode_invite(f"  {text[:500]}\n{text[500:]}\n") == invite
    for wrong in (text[:-1], text[:100] + text[101:], "hello", text.replace("invite-1", "invite-2")):
        assert reason_of(lambda wrong=wrong: decode_invite(wrong)) is Reason.MALFORMED
    with pytest.raises(LocalProtocolError):
        encode_invite(invite, IDS[4])


# -- certificates


def context(own: SigningSecret, pinned: list[bytes], *, server: bool, folder: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    path = f"{folder}/{own.verify_key.text}.pem"
    with open(path, "wb") as stream:
        stream.write(private_key_pem(own, b"once") + ssl.DER_cert_to_PEM_cert(build_certificate(own)).encode())
    made.load_cert_chain(path, password=b"once")
    made.load_verify_locations(cadata=b"".join(pinned))
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = {one, two}
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.discard(side)
        if not waiting:
            return
    raise AssertionError("no end of the handshake")


def test_certificate_is_the_same_each_time_and_keeps_its_profile() -> None:
    own = secret()
    der = build_certificate(own)
    assert der == build_certificate(own)
    assert check_certificate(der) == own.verify_key
    for position in range(0, len(der), 5):
        altered = der[:position] + bytes([der[position] ^ 1]) + der[position + 1 :]
        with pytest.raises(RemoteProtocolError):
            check_certificate(altered)


def test_pinned_certificates_meet_and_strangers_do_not(tmp_path: object) -> None:
    anna, bruno, stranger = secret(), secret(), secret()
    a, b = build_certificate(anna), build_certificate(bruno)
    folder = str(tmp_path)
    handshake(context(anna, [b], server=False, folder=folder), context(bruno, [a], server=True, folder=folder))
    with pytest.raises(ssl.SSLError):
        handshake(context(stranger, [b], server=False, folder=folder), context(bruno, [a], server=True, folder=folder))
    with pytest.raises(ssl.SSLError):
        handshake(context(anna, [b], server=False, folder=folder), context(stranger, [a], server=True, folder=folder))
