"""How a session becomes octets and back: format 1 is JSON, sealed in two parts.

    sealed = format version ‖ length of facts (4 octets) ‖ sealed facts ‖ sealed tokens

A record is opened and sealed in one step of the event loop, while nobody else is served: so it has
a greatest size, at writing and at reading alike (F37).

A record of an unknown version is no session for this process: it is left alone, so that a newer
release beside us, or a rollback, still finds it.
"""

import json
from dataclasses import fields
from typing import Any, TypeVar

from gateway.errors import Code, Refused
from gateway.ports import LookupId, StoredRecord
from gateway.secret import AccessToken, IdToken, Nonce, RefreshToken, SessionHandle
from gateway.session.model import Facts, Session, Tokens
from gateway.session.sealing import CannotOpen, KeyRing

_Token = TypeVar("_Token", RefreshToken, IdToken)

FORMAT = 1
MOST_OCTETS = 81920
"""The longest record. Three tokens and the user claims, each as long as may be, fit."""

_HEAD_OCTETS = 5


class SessionTooLarge(Refused):
    """What the provider sent does not fit into a session."""

    def __init__(self, octets: int) -> None:
        super().__init__(Code.SESSION_TOO_LARGE, note=f"{octets} octets, at most {MOST_OCTETS}")


def seal(ring: KeyRing, session: Session) -> StoredRecord:
    """Return the session as the store keeps it, sealed for its own generation.

    Raises `SessionTooLarge` for a record that would not be opened again.
    """
    facts = ring.seal_facts(session.lookup, session.generation, _facts_json(session.facts))
    tokens = ring.seal_tokens(
        session.handle, session.lookup, session.generation, _tokens_json(session.tokens)
    )
    head = bytes((FORMAT,)) + len(facts).to_bytes(4, "big")
    sealed = head + facts + tokens
    if len(sealed) > MOST_OCTETS:
        raise SessionTooLarge(len(sealed))
    return StoredRecord(session.generation, sealed)


def open_facts(ring: KeyRing, lookup: LookupId, record: StoredRecord) -> Facts:
    """Open the part that needs no cookie; raises `CannotOpen`."""
    facts, _ = _split(record.sealed)
    return _read_facts(ring.open_facts(lookup, record.generation, facts))


def open_session(
    ring: KeyRing, handle: SessionHandle, lookup: LookupId, record: StoredRecord
) -> Session:
    """Open the whole session; `lookup` is the handle's own. Raises `CannotOpen`."""
    _, tokens = _split(record.sealed)
    return Session(
        handle,
        lookup,
        record.generation,
        open_facts(ring, lookup, record),
        _read_tokens(ring.open_tokens(handle, lookup, record.generation, tokens)),
    )


def _split(sealed: bytes) -> tuple[bytes, bytes]:
    if not _HEAD_OCTETS <= len(sealed) <= MOST_OCTETS or sealed[0] != FORMAT:
        raise CannotOpen
    end = _HEAD_OCTETS + int.from_bytes(sealed[1:_HEAD_OCTETS], "big")
    return sealed[_HEAD_OCTETS:end], sealed[end:]


def _facts_json(facts: Facts) -> bytes:
    members = {member.name: getattr(facts, member.name) for member in fields(facts)}
    members["nonce"] = facts.nonce.reveal() if facts.nonce else None
    return _json(members)


def _tokens_json(tokens: Tokens) -> bytes:
    return _json(
        {
            "access_token": tokens.access_token.reveal(),
            "refresh_token": tokens.refresh_token.reveal() if tokens.refresh_token else None,
            "id_token": tokens.id_token.reveal() if tokens.id_token else None,
            "expires_at": tokens.expires_at,
            "received_at": tokens.received_at,
            "scopes": sorted(tokens.scopes),
        }
    )


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def _read_facts(plain: bytes) -> Facts:
    members = json.loads(plain)
    try:
        members["nonce"] = Nonce(members["nonce"]) if members["nonce"] else None
        return Facts(**members)
    except (KeyError, TypeError):
        raise CannotOpen from None  # written by a release whose sessions have other members


def _read_tokens(plain: bytes) -> Tokens:
    members = json.loads(plain)
    try:
        return Tokens(
            access_token=AccessToken(members["access_token"]),
            expires_at=members["expires_at"],
            received_at=members["received_at"],
            scopes=frozenset(members["scopes"]),
            refresh_token=_optional(RefreshToken, members["refresh_token"]),
            id_token=_optional(IdToken, members["id_token"]),
        )
    except (KeyError, TypeError):
        raise CannotOpen from None


def _optional(kind: type[_Token], value: str | None) -> _Token | None:
    return None if value is None else kind(value)
