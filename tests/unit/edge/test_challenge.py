"""Which answers say that the access token is invalid (RFC 6750 section 3.1, H12)."""

import time
import timeit

import pytest

from gateway.edge import challenge
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


@pytest.mark.parametrize(
    "piece",
    [b'"', b'\\"', b'",\\', b'"\\', b"Bearer ", b", a", b",", b",Bearer =", b",a ", b" \t", b"x"],
)
def test_time_grows_with_the_length_of_a_challenge_and_not_with_its_square(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a field 16 times as long: 16 times the time, where the square would be 256."""
    monkeypatch.setattr(challenge, "_LONGEST", 1_000_000)

    def takes(octets: int) -> float:
        field = (b"www-authenticate", piece * (octets // len(piece)))
        return min(
            timeit.repeat(lambda: rejects_token(401, (field,)), timer=time.thread_time, number=5)
        )

    assert takes(8192) < 100 * max(takes(512), 1e-6)


def test_a_quote_that_is_not_closed_says_nothing() -> None:
    for value in (b'Bearer realm="x, error=invalid_token', b'Bearer error="invalid_token'):
        assert not rejects_token(401, ((b"www-authenticate", value),))
