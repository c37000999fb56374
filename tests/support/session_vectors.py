"""Sessions as octets, for holding fast what two releases beside each other have to agree on (F33).

    python -m tests.support.session_vectors > tests/vectors/sessions.json

was run with the release of the commit that the document names. It is not run again: whoever changes
the format keeps these records readable, and adds a document for the new one.
"""

import json
import sys
from dataclasses import fields
from typing import Any

from gateway.adapters.redis_scripts import Layout
from gateway.secret import AccessToken, IdToken, KeyMaterial, Nonce, RefreshToken
from gateway.session import codec
from gateway.session.model import Facts, Session, SessionId, Tokens
from gateway.session.sealing import KeyRing, RingKey
from tests.support.clock import SeededEntropy

NOW = 1_700_000_000.0
OLDER = RingKey("k-2026", KeyMaterial(bytes(range(32))))
NEWER = RingKey("k-2027", KeyMaterial(bytes(range(100, 132))))


def sessions() -> dict[str, tuple[RingKey, Facts, Tokens]]:
    """The sessions of the document, each with the key that seals it."""
    whole = Facts(
        session_id=SessionId("AAECAwQFBgcICQoLDA0ODw"),
        provider="main",
        issuer="https://id.example",
        subject="ada",
        sid="sid-1",
        created_at=NOW,
        last_seen=NOW,
        idle_deadline=NOW + 1800,
        absolute_deadline=NOW + 43200,
        auth_time=NOW - 5,
        acr="urn:gold",
        user={"name": "Ada Lovelace, née Byron", "roles": ["a", "b"], "verified": True},
        browser="ab" * 32,
        nonce=Nonce("nonce-of-the-login"),
        address="203.0.113.7",
        user_agent="Browser/1.0 \u2603",
    )
    bare = Facts(
        session_id=SessionId("EBESExQVFhcYGRobHB0eHw"),
        provider="main",
        issuer="https://id.example",
        subject="grace",
        sid=None,
        created_at=NOW + 0.25,
        last_seen=NOW + 60.5,
        idle_deadline=NOW + 1860.5,
        absolute_deadline=NOW + 43200.25,
        auth_time=None,
        acr=None,
        user={},
    )
    tokens = Tokens(
        access_token=AccessToken("at-of-the-older-release"),
        expires_at=NOW + 300,
        received_at=NOW,
        scopes=frozenset({"openid", "profile", "orders.read"}),
        refresh_token=RefreshToken("rt-of-the-older-release"),
        id_token=IdToken("e30.e30.e30"),
    )
    alone = Tokens(AccessToken("at-alone"), NOW + 3600.25, NOW + 0.25, frozenset())
    return {
        "everything there is": (OLDER, whole, tokens),
        "as little as there can be": (OLDER, bare, alone),
        "under the newer key": (NEWER, bare, tokens),
    }


def documented(name: str, key: RingKey, facts: Facts, tokens: Tokens) -> dict[str, Any]:
    """What is written down of one session."""
    ring = KeyRing([key], SeededEntropy(name))
    handle = ring.new_handle()
    session = Session(handle, ring.lookup(handle), 3, facts, tokens)
    record = codec.seal(ring, session)
    _, key_in_redis = Layout("gw:").read([session.lookup]).words
    sealed_facts, sealed_tokens = codec._split(record.sealed)
    return {
        "name": name,
        "cookie": ring.cookie_value(handle),
        "lookup": session.lookup,
        "generation": record.generation,
        "key": key_in_redis,
        "value": (record.generation.to_bytes(8, "big") + record.sealed).hex(),
        "user_index": [*ring.index_names("user", facts.issuer, facts.subject)],
        "facts": json.loads(ring.open_facts(session.lookup, 3, sealed_facts)),
        "tokens": json.loads(ring.open_tokens(handle, session.lookup, 3, sealed_tokens)),
    }


def document() -> dict[str, Any]:
    """Everything, as the code at hand makes it."""
    return {
        "keys": {key.key_id: key.material.reveal().hex() for key in (OLDER, NEWER)},
        "members_a_reader_of_facts_knows": sorted(member.name for member in fields(Facts)),
        "sessions": [documented(name, *made) for name, made in sessions().items()],
    }


if __name__ == "__main__":
    json.dump({"release": sys.argv[1], **document()}, sys.stdout, indent=1)
    sys.stdout.write("\n")
