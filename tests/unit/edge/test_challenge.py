"""Which answers say that the access token is invalid (RFC 6750 section 3.1, H12)."""

import time

import pytest

from gateway.edge.challenge import rejects_token

SAYS_SO = [
    b'Bearer error="invalid_token"',
    b"Bearer error=invalid_token",
    b'bearer realm="api", error="invalid_token", error_description="The token expired"',
    b'Bearer realm="a \\"quoted\\", thing",error = "invalid_token"',
    b'Basic realm="x", Bearer error="invalid_token"',
    b'Bearer error="invalid_token", Basic realm="x"',
    b'DPoP algs="ES256", Bearer realm="api", error="invalid_token"',
    b'Bearer realm="first", Bearer realm="second", error="invalid_token"',
]
SAYS_NOT = [
    b"",
    b"Bearer",
    b'Bearer realm="api"',
    b'Bearer error="insufficient_scope"',
    b'Bearer error="invalid_request", error_description="not invalid_token"',
    b'Bearer realm="error=invalid_token"',
    b'Bearer error_description="x, error=invalid_token"',
    b'Bearer xerror="invalid_token"',
    b'Basic error="invalid_token"',
    b'Bearer realm="api", Basic realm="x", error="invalid_token"',
    b'error="invalid_token"',
    b'Bearerish error="invalid_token"',
    b'Bearer error="invalid_token_or_so"',
    b'Basic realm="Bearer error=invalid_token"',
    b'Bearer error="invalid_token' + b'"' + b", x" * 5000,
]


@pytest.mark.parametrize("value", SAYS_SO)
def test_a_bearer_challenge_with_invalid_token_says_so(value: bytes) -> None:
    assert rejects_token(401, ((b"www-authenticate", value),))
    assert rejects_token(401, ((b"www-authenticate", b"Basic"), (b"www-authenticate", value)))


@pytest.mark.parametrize("value", SAYS_NOT)
def test_everything_else_does_not(value: bytes) -> None:
    assert not rejects_token(401, ((b"www-authenticate", value),))


@pytest.mark.parametrize("status", [200, 400, 403, 407, 500])
def test_no_other_status_does(status: int) -> None:
    assert not rejects_token(status, ((b"www-authenticate", SAYS_SO[0]),))


def test_no_other_field_does() -> None:
    assert not rejects_token(401, ((b"proxy-authenticate", SAYS_SO[0]),))


@pytest.mark.parametrize("piece", [b'"', b'\\"', b"Bearer ", b", a", b"Bearer a=, ", b" \t"])
def test_a_long_challenge_takes_no_long_time(piece: bytes) -> None:
    begun = time.perf_counter()
    rejects_token(401, ((b"www-authenticate", piece * (8192 // len(piece))),))
    assert time.perf_counter() - begun < 2  # a ceiling: it takes milliseconds
