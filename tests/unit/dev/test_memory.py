"""The provider's memory as a document: the same after reading, and read strictly or not at all."""

import json
from typing import Any

import pytest

from gateway.dev import memory
from gateway.dev.accounts import TEST_ACCOUNTS, DevProviderSettings
from gateway.dev.browser_sessions import BrowserSessions
from gateway.dev.parameters import Parameters
from gateway.dev.records import (
    ACCESS_TOKEN,
    REFRESH_TOKEN,
    AuthorizationCode,
    Grant,
    Login,
    Records,
)
from gateway.dev.signing import SigningKeys, read_keys
from tests.support.clock import SeededEntropy, TurnableClock

SETTINGS = DevProviderSettings("http://127.0.0.1:9400", ())


def empty() -> tuple[Records, BrowserSessions]:
    records = Records(SETTINGS, TurnableClock(), SeededEntropy())
    return records, BrowserSessions(records, secure=False)


def full() -> tuple[Records, BrowserSessions]:
    records, sessions = empty()
    login = Login(TEST_ACCOUNTS[0], 1_700_000_000, "sid-1", "high")
    grant = Grant("app", login, "openid offline_access", "n-1")
    records.keep_code("code-1", AuthorizationCode(grant, "http://a/cb", "c" * 43, "S256", 1.7e9))
    records.keep_token("at-1", ACCESS_TOKEN, grant, "openid")
    records.keep_token("rt-1", REFRESH_TOKEN, grant, grant.scope)
    records.tokens[memory_key(records, REFRESH_TOKEN)].spent = True
    other = Grant("app", Login(TEST_ACCOUNTS[1], 1_700_000_001, "sid-2"), "openid", None)
    records.keep_token("at-2", ACCESS_TOKEN, other, "openid")
    records.revoke_grant(other)
    anonymous = sessions.begin()
    sessions.ticket(anonymous, Parameters([("state", "é"), ("state", "twice")]))
    sessions.log_in(sessions.begin(), TEST_ACCOUNTS[3], None).clients.add("app")
    return records, sessions


def memory_key(records: Records, kind: str) -> str:
    return next(key for key, token in records.tokens.items() if token.kind == kind)


def document() -> Any:
    return json.loads(json.dumps(memory.written(*full())))


def read(found: Any) -> memory.Memory:
    return memory.read(found, SETTINGS, TurnableClock())


def test_what_is_read_is_what_was_written() -> None:
    records, sessions = empty()
    read(document()).restore(records, sessions)
    assert json.loads(json.dumps(memory.written(records, sessions))) == document()


def test_tokens_of_one_grant_still_live_and_die_together() -> None:
    records, sessions = empty()
    read(document()).restore(records, sessions)
    (grant,) = {
        id(t.grant): t.grant for t in records.tokens.values() if not t.grant.revoked
    }.values()
    (code,) = records.codes.values()
    assert code.grant is grant
    records.revoke_grant(grant)
    assert all(token.is_revoked() for token in records.tokens.values())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every member and item there is."""
    if not isinstance(value, dict | list):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [leaf for key, child in inner for leaf in [(*path, key), *leaves(child, (*path, key))]]


JUNK: list[Any] = [None, True, -1, 7, 10**400, 1e308, "x", [], {}, [["a", "b", "c"]], [["a", 1]]]


def test_a_value_of_another_kind_is_damage_and_never_another_failure() -> None:
    refused = 0
    for leaf in leaves(document()):
        for junk in JUNK:
            changed = document()
            place = changed
            for key in leaf[:-1]:
                place = place[key]
            place[leaf[-1]] = junk
            try:
                found = read(changed)
            except ValueError:
                refused += 1
                continue
            records, sessions = empty()
            found.restore(records, sessions)
            json.dumps(memory.written(records, sessions))  # and what is read can be kept again
    assert refused > 500


@pytest.mark.parametrize("name", ["grants", "codes", "tokens", "sessions", "tickets"])
def test_a_document_without_a_part_is_none(name: str) -> None:
    found = document()
    del found[name]
    with pytest.raises(ValueError, match="array"):
        read(found)


def test_a_login_of_somebody_who_is_gone_is_none() -> None:
    found = document()
    found["sessions"][-1]["login"]["account"] = "nobody"
    with pytest.raises(ValueError, match="nobody"):
        read(found)


def test_signing_keys_are_read_in_their_order() -> None:
    keys = SigningKeys()
    keys.rotate()
    again = SigningKeys(read_keys(json.loads(json.dumps(keys.written()))))
    assert again.current.kid == keys.current.kid
    assert again.public() == keys.public()
    assert again.verify(keys.sign("JWT", {"sub": "a"}), "JWT") == {"sub": "a"}


def test_public_keys_are_no_signing_keys() -> None:
    with pytest.raises(ValueError, match="signing key"):
        read_keys(json.loads(json.dumps(SigningKeys().public())))
