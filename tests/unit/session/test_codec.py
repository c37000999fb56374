"""The size of a session: bounded where it is written, and where it is read (F37)."""

import dataclasses
import tracemalloc

import pytest

from gateway.errors import Code
from gateway.ports import LookupId, StoredRecord
from gateway.secret import AccessToken, IdToken, KeyMaterial, RefreshToken
from gateway.session import codec
from gateway.session.codec import MOST_OCTETS, SessionTooLarge
from gateway.session.model import Facts, Session, SessionId, Tokens
from gateway.session.sealing import CannotOpen, KeyRing, RingKey
from tests.support.clock import SeededEntropy

RING = KeyRing([RingKey("k", KeyMaterial(b"k" * 32))], SeededEntropy())
FACTS = Facts(
    session_id=SessionId("s"),
    provider="main",
    issuer="https://id.example",
    subject="ada",
    sid=None,
    created_at=1.0,
    last_seen=1.0,
    idle_deadline=2.0,
    absolute_deadline=3.0,
    auth_time=None,
    acr=None,
    user={"sub": "ada"},
)


def session(scope: int = 0, token: int = 10, user: int = 0) -> Session:
    """One with a scope, tokens and user claims of so many characters."""
    handle = RING.new_handle()
    tokens = Tokens(
        AccessToken("a" * token),
        expires_at=2.0,
        received_at=1.0,
        scopes=frozenset({"s" * scope}),
        refresh_token=RefreshToken("r" * token),
        id_token=IdToken("i" * token),
    )
    facts = dataclasses.replace(FACTS, user={"sub": "ada", "groups": "g" * user})
    return Session(handle, RING.lookup(handle), 1, facts, tokens)


def opened(known: Session, record: StoredRecord) -> Session:
    return codec.open_session(RING, known.handle, known.lookup, record)


def test_whatever_is_within_the_limits_of_its_parts_fits() -> None:
    full = session(token=16384, user=16384 - 20, scope=8192)
    assert opened(full, codec.seal(RING, full)) == full


def test_the_largest_session_opens_again_and_an_octet_more_is_refused() -> None:
    spare = MOST_OCTETS - len(codec.seal(RING, session()).sealed)
    largest = session(scope=spare)
    record = codec.seal(RING, largest)
    assert len(record.sealed) == MOST_OCTETS
    assert opened(largest, record) == largest
    with pytest.raises(SessionTooLarge) as caught:
        codec.seal(RING, session(scope=spare + 1))
    assert caught.value.code is Code.SESSION_TOO_LARGE
    assert "sss" not in str(caught.value)


@pytest.mark.parametrize("octets", [MOST_OCTETS + 1, 1 << 20, 64 << 20])
def test_of_a_record_that_is_too_large_nothing_is_opened(octets: int) -> None:
    """Whoever can write to the store cannot make a worker decrypt for long, or copy it."""
    known = session()
    sealed = codec.seal(RING, known).sealed
    record = StoredRecord(1, sealed + bytes(octets - len(sealed)))
    tracemalloc.start()
    try:
        with pytest.raises(CannotOpen):
            opened(known, record)
        with pytest.raises(CannotOpen):
            codec.open_facts(RING, LookupId(known.lookup), record)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < octets / 2
