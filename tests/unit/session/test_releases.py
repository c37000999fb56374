"""Two releases on one store read each other's sessions (F33): octets written by an older one.

`tests/vectors/sessions.json` was written by the code of the release it names; see
`tests/support/session_vectors.py`. A newer release may change the format only by reading both, and
by writing the older one until no process of that release is left.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.redis_scripts import unpack
from gateway.ports import LookupId
from gateway.session import codec
from gateway.session.model import Session
from gateway.session.sealing import KeyRing
from tests.support.clock import SeededEntropy
from tests.support.session_vectors import NEWER, OLDER, document, sessions

WRITTEN = json.loads((Path(__file__).parents[2] / "vectors" / "sessions.json").read_text())
RECORDS = {one["name"]: one for one in WRITTEN["sessions"]}
REQUIRED_OF_FACTS = {  # a reader of that release takes a record without these for none
    "session_id",
    "provider",
    "issuer",
    "subject",
    "sid",
    "created_at",
    "last_seen",
    "idle_deadline",
    "absolute_deadline",
    "auth_time",
    "acr",
    "user",
    "nonce",
}
REQUIRED_OF_TOKENS = {
    "access_token",
    "expires_at",
    "received_at",
    "scopes",
    "refresh_token",
    "id_token",
}

every_record = pytest.mark.parametrize("name", RECORDS)


def both_keys() -> KeyRing:
    return KeyRing([NEWER, OLDER], SeededEntropy())


def opened(ring: KeyRing, written: dict[str, Any]) -> Session:
    """What a request with this cookie finds."""
    handle = ring.read_handle(written["cookie"])
    assert handle is not None
    record = unpack(bytes.fromhex(written["value"]))
    assert record is not None
    return codec.open_session(ring, handle, LookupId(written["lookup"]), record)


@every_record
def test_a_session_of_the_older_release_opens_whole(name: str) -> None:
    session = opened(both_keys(), RECORDS[name])
    _, facts, tokens = sessions()[name]
    assert (session.facts, session.tokens) == (facts, tokens)
    assert session.generation == RECORDS[name]["generation"]
    assert session.lookup == KeyRing.lookup(session.handle)


@every_record
def test_the_user_of_an_older_session_is_found_by_the_older_index(name: str) -> None:
    key, facts, _ = sessions()[name]
    names = KeyRing([key], SeededEntropy()).index_names("user", facts.issuer, facts.subject)
    assert [*names] == RECORDS[name]["user_index"]


def test_what_this_release_writes_is_octet_for_octet_what_the_older_one_wrote() -> None:
    """So the older one reads it: a rollback, and a rolling release, lose nobody a session."""
    assert document() == {k: v for k, v in WRITTEN.items() if k != "release"}


@every_record
def test_what_this_release_writes_after_a_use_has_the_members_an_older_reader_wants(
    name: str,
) -> None:
    ring = both_keys()
    session = opened(ring, RECORDS[name])
    record = codec.seal(ring, session)  # under the newer key, as after any write
    facts, tokens = codec._split(record.sealed)
    lookup, generation = session.lookup, record.generation
    members = json.loads(ring.open_facts(lookup, generation, facts)).keys()
    assert members >= REQUIRED_OF_FACTS
    assert members <= {*WRITTEN["members_a_reader_of_facts_knows"]}
    members = json.loads(ring.open_tokens(session.handle, lookup, generation, tokens)).keys()
    assert members >= REQUIRED_OF_TOKENS
    assert record.sealed[0] == 1
