"""A login at the identity provider itself, for whoever has none of its own."""

import base64
import hashlib
import json
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.login import Browser
from bench.programs import BenchError
from bench.world import CLIENT_ID, CLIENT_SECRET, SCOPES, World

NOWHERE = "http://localhost:9/nowhere"
"""A redirect URI of ours: nobody listens there, and nobody goes there."""

_VERIFIER = "a-verifier-that-protects-nothing-as-nobody-else-listens"


def issued_token(world: World) -> str:
    """Return an access token as every system gets them."""
    browser = Browser(world.issuer)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=")
    url = f"{world.issuer}/auth?" + urlencode(
        {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": NOWHERE,
            "scope": " ".join(SCOPES),
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
    )
    for _ in range(6):
        page = browser.load(url)
        url = page.location or ""
        if url.startswith("/"):
            url = world.issuer + url
        if url.startswith(NOWHERE):
            break
    browser.close()
    if "code" not in (query := parse_qs(urlsplit(url).query)):
        raise BenchError("the identity provider gave no code")
    form = {
        "grant_type": "authorization_code",
        "code": query["code"][0],
        "redirect_uri": NOWHERE,
        "code_verifier": _VERIFIER,
    }
    request = urllib.request.Request(f"{world.issuer}/token", urlencode(form).encode())  # noqa: S310  loopback
    credentials = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    request.add_header("Authorization", f"Basic {credentials}")
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
        return str(json.load(answer)["access_token"])
