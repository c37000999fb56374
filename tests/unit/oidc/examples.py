"""One provider and one client, honest in every respect; each test spoils what it is about."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.errors import Code, Refused
from gateway.oidc.attempt import LoginAttempt
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.oidc.client import Client, ClientAuth, Kind
from gateway.oidc.metadata import Metadata
from gateway.secret import ClientSecret, PrivateKeyPem

NOW = 1_800_000_000.0
ISSUER = "https://id.example/realms/main"
SECRET = "a-secret-of-at-least-32-characters"

METADATA = Metadata(
    issuer=ISSUER,
    authorization_endpoint="https://id.example/authorize",
    token_endpoint="https://id.example/token",
    jwks_uri="https://id.example/jwks",
    userinfo_endpoint="https://id.example/userinfo",
    revocation_endpoint="https://id.example/revoke",
    end_session_endpoint="https://id.example/logout",
)

CLIENT = Client(
    provider="main",
    kind=Kind.OIDC,
    issuer=ISSUER,
    client_id="spa-gateway",
    secret=ClientSecret(SECRET),
    scopes=("openid", "profile"),
    redirect_uri="https://app.example/bff/callback/main",
)

ATTEMPT = LoginAttempt(
    attempt_id="attempt-1", provider="main", return_to="/deep?x=1#y", issued_at=NOW - 20
)

PLAIN_ENDPOINTS = Metadata(
    issuer="https://plain.example",
    authorization_endpoint="https://plain.example/login",
    token_endpoint="https://plain.example/token",
    userinfo_endpoint="https://plain.example/user",
)


def client(**changes: Any) -> Client:
    return replace(CLIENT, **changes)


def key_client(**changes: Any) -> Client:
    return client(
        auth=ClientAuth.PRIVATE_KEY_JWT, secret=None, private_key=PrivateKeyPem("pem"), **changes
    )


def plain_client(**changes: Any) -> Client:
    settings = {
        "kind": Kind.OAUTH2,
        "issuer": "https://plain.example",
        "scopes": ("read:user",),
        "endpoints": PLAIN_ENDPOINTS,
        "subject_claim": "id",
    }
    return client(**(settings | changes))


def json_answer(members: object, status: int = 200, **changes: Any) -> BackChannelAnswer:
    return BackChannelAnswer(status, "application/json", json.dumps(members).encode(), **changes)


def form_of(request: BackChannelRequest) -> dict[str, str]:
    """The parameters of a form request; fails on a repeat."""
    return once(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL; fails on a repeat."""
    return once(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


def once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"repeated parameters: {names}"
    return dict(pairs)


def fields_of(request: BackChannelRequest) -> Mapping[bytes, bytes]:
    names = [name for name, _ in request.fields]
    assert len(names) == len(set(names))
    return dict(request.fields)


@contextmanager
def refused(code: Code) -> Iterator[pytest.ExceptionInfo[Refused]]:
    """The block refuses with exactly this code."""
    with pytest.raises(Refused) as caught:
        yield caught
    assert caught.value.code is code
