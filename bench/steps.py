"""`python -m bench.steps`: the longest things the gateway does without letting anybody else in.

An event loop serves nobody while one step of it runs, so whatever is done in one go is bounded in
size. Here each is done at its bound (F37).
"""

import base64
import dataclasses
import json
import os
import time
from collections.abc import Callable
from functools import partial

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from gateway.adapters.jose import MAX_KEYS, JoserfcJose
from gateway.adapters.system import SystemEntropy
from gateway.edge.cookies import read_cookie
from gateway.edge.headers import request_fields
from gateway.edge.messages import BrowserRequest
from gateway.edge.outgoing import refuse_tokens
from gateway.edge.target import parse_target
from gateway.oidc.keys import Algorithm, JwksDocument
from gateway.secret import AccessToken, IdToken, KeyMaterial, RefreshToken
from gateway.session import codec
from gateway.session.model import Facts, Session, SessionId, Tokens
from gateway.session.sealing import KeyRing, RingKey

_TIMES = 200
_TOKEN = 16384  # octets of the longest token, and of the longest request target


def main() -> None:
    """Print the median and the longest of each, in milliseconds."""
    print(f"{'step':58} {'median':>8} {'longest':>8}  ms")
    for name, step in (*_sessions(), *_signatures(), *_requests()):
        taken = sorted(_timed(step) for _ in range(_TIMES))
        print(f"{name:58} {taken[_TIMES // 2]:8.2f} {taken[-1]:8.2f}")


def _timed(step: Callable[[], object]) -> float:
    begun = time.perf_counter()
    step()
    return (time.perf_counter() - begun) * 1000


def _sessions() -> list[tuple[str, Callable[[], object]]]:
    entropy = SystemEntropy()
    ring = KeyRing([RingKey("k", KeyMaterial(entropy.octets(32)))], entropy)
    handle = ring.new_handle()
    facts = Facts(
        SessionId("s"), "main", "https://id.example", "ada", None, 1, 1, 2, 3, None, None, {}
    )
    token = "t" * _TOKEN
    tokens = Tokens(
        AccessToken(token),
        expires_at=2.0,
        received_at=1.0,
        scopes=frozenset(),
        refresh_token=RefreshToken(token),
        id_token=IdToken(token),
    )
    small = Session(handle, ring.lookup(handle), 1, facts, tokens)
    spare = codec.MOST_OCTETS - len(codec.seal(ring, small).sealed) - 64
    largest = dataclasses.replace(small, facts=dataclasses.replace(facts, user={"x": "u" * spare}))
    record = codec.seal(ring, largest)
    size = len(record.sealed) // 1024
    return [
        (f"sealing a session of {size} KiB", lambda: codec.seal(ring, largest)),
        (
            f"opening a session of {size} KiB",
            lambda: codec.open_session(ring, handle, largest.lookup, record),
        ),
    ]


def _signatures() -> list[tuple[str, Callable[[], object]]]:
    jose = JoserfcJose()
    steps: list[tuple[str, Callable[[], object]]] = []
    for algorithm, key in (
        (Algorithm.RS256, RSAKey.generate_key(4096, {"kid": "r"})),
        (Algorithm.ES512, ECKey.generate_key("P-521", {"kid": "e"})),
    ):
        document = json.dumps({"keys": [key.as_dict(private=False)]}).encode()
        keys = jose.read_keys(JwksDocument(document))
        claims = json.dumps({"sub": "u" * 10_000}).encode()
        header = {"alg": algorithm.value, "kid": key.kid}
        token = jws.serialize_compact(header, claims, key, algorithms=[algorithm.value])
        name = f"checking an ID token of {len(token) // 1024} KiB, {algorithm.value}"
        steps.append((name, partial(jose.verify, token, keys, frozenset({algorithm}))))
    public = RSAKey.generate_key(4096).as_dict(private=False)
    many = json.dumps({"keys": [{**public, "kid": str(n)} for n in range(MAX_KEYS)]}).encode()
    many = many.ljust(1024 * 1024)
    steps.append((f"reading {MAX_KEYS} keys in 1 MiB", lambda: jose.read_keys(JwksDocument(many))))
    return steps


def _requests() -> list[tuple[str, Callable[[], object]]]:
    cookies = b"; ".join(
        b"n%d=%s" % (n, base64.b64encode(os.urandom(6))) for n in range(65536 // 16)
    )
    crowded = BrowserRequest("GET", b"/", ((b"host", b"x"), (b"cookie", cookies)))
    fields = tuple((b"x-%d" % n, b"v" * 600) for n in range(100))
    full = BrowserRequest("GET", b"/", fields)
    raw = b"/api/x?" + b"%&" * (_TOKEN // 2)
    target = parse_target(raw, authority_expected=b"")
    return [
        (f"reading {len(cookies) // 1024} KiB of cookies", lambda: read_cookie(crowded, "session")),
        (
            "judging 100 fields of 600 octets",
            lambda: request_fields(full, pass_cookies=frozenset()),
        ),
        (
            f"searching a query of {len(raw) // 1024} KiB for a token",
            lambda: refuse_tokens(target),
        ),
    ]


if __name__ == "__main__":
    main()
