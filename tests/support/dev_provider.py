"""A browser at the development identity provider, and a client's back channel to it."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.dev.accounts import DevClient, DevProviderSettings
from gateway.dev.identity_provider import KEPT_VERSION, DevProvider, create_identity_provider
from gateway.dev.kept_folder import KeptFolder
from gateway.secret import ClientSecret
from tests.support.clock import SeededEntropy, TurnableClock

ISSUER = "http://127.0.0.1:9400"
CALLBACK = "http://localhost:8080/bff/callback/dev"
GOODBYE = "http://localhost:8080/bff/logged-out"
BACK_CHANNEL = "http://localhost:8080/bff/backchannel-logout/dev"
CLIENT_ID = "sample app"
SECRET = "a:b+c%d/é and more"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
SCOPES = "openid profile email offline_access orders.read orders.write"

Form = dict[str, str]


class Person:
    """A browser at the provider, and a client's back channel to it, in one."""

    def __init__(self, kept: Path | None = None) -> None:
        """`kept` is a folder whose content outlives this provider."""
        self.clock = TurnableClock()
        self.folder = KeptFolder(kept, KEPT_VERSION) if kept else None
        self.delivered: list[tuple[str, str]] = []
        self.deaf = False
        mine = DevClient(
            client_id=CLIENT_ID,
            client_secret=ClientSecret(SECRET),
            redirect_uris=(CALLBACK,),
            post_logout_redirect_uris=(GOODBYE,),
            backchannel_logout_uri=BACK_CHANNEL,
            scopes=tuple(SCOPES.split()),
        )
        other = DevClient(
            client_id="other",
            client_secret=ClientSecret("another-secret"),
            redirect_uris=("http://localhost:7070/cb?fixed=1",),
            backchannel_logout_uri="http://localhost:7070/bye",
        )
        api = DevClient("sample-api", ClientSecret("the-api-asks"), redirect_uris=())
        self._settings = DevProviderSettings(ISSUER, (mine, other, api))
        self._entropy = SeededEntropy()
        self.provider = self._started()
        self.http = self.browser()

    def _started(self) -> DevProvider:
        return create_identity_provider(
            self._settings,
            post_logout_token=self._deliver,
            clock=self.clock,
            entropy=self._entropy,
            kept=self.folder,
        )

    def restart_the_provider(self, kept: Path) -> KeptFolder:
        """Another process goes on in this folder; the browser keeps its cookies."""
        if self.folder is not None:
            self.folder.close()
        self.folder = KeptFolder(kept, KEPT_VERSION)
        self.provider = self._started()
        cookies = self.http.cookies
        self.http = self.browser()
        self.http.cookies = cookies
        return self.folder

    def browser(self) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.provider.app)
        return httpx2.AsyncClient(transport=transport, base_url=ISSUER)

    async def _deliver(self, uri: str, logout_token: str) -> None:
        if self.deaf:
            raise ConnectionError("nobody is there")
        self.delivered.append((uri, logout_token))

    def asked(self, changes: Form | None = None, without: str = "") -> Form:
        parameters = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": SCOPES,
            "state": "st&te",
            "nonce": "n-1",
            "code_challenge": CHALLENGE.decode(),
            "code_challenge_method": "S256",
            **(changes or {}),
        }
        return {name: value for name, value in parameters.items() if name != without}

    async def authorize(self, changes: Form | None = None, without: str = "") -> httpx2.Response:
        return await self.http.get("/authorize", params=self.asked(changes, without))

    async def choose(self, page: httpx2.Response, **form: str) -> httpx2.Response:
        """Press one of the buttons on a page of the provider."""
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        action = re.search(r'<form method="post" action="([^"]*)"', page.text)
        assert action is not None
        fields = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
        return await self.http.post(action[1], data={**fields, **form})

    async def log_in(self, account: str = "ada", changes: Form | None = None) -> Form:
        """Return the parameters the client gets."""
        answer = await self.choose(await self.authorize(changes), account=account)
        return answered(answer)

    async def token(self, form: Form, auth: tuple[str, str] | None = None) -> httpx2.Response:
        """Ask the token endpoint, by default as the right client with Basic."""
        return await self.http.post("/token", data=form, headers=basic(*(auth or MINE)))

    async def exchange(self, code: str, **changes: str) -> httpx2.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **changes,
        }
        return await self.token({name: value for name, value in form.items() if value})

    async def refresh(self, refresh_token: str, **more: str) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **more}
        return await self.token(form)

    async def tokens(self, account: str = "ada", changes: Form | None = None) -> dict[str, Any]:
        """Log in and return the token answer."""
        callback = await self.log_in(account, changes)
        answer = await self.exchange(callback["code"])
        assert answer.status_code == 200
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def tokens_again(self) -> dict[str, Any]:
        """Return the token answer of a login that asked nobody: single sign-on."""
        answer = await self.exchange(answered(await self.authorize({"prompt": "none"}))["code"])
        assert answer.status_code == 200
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def active(self, token: str) -> bool:
        answer = await self.http.post("/introspect", data={"token": token}, headers=basic(*MINE))
        assert answer.status_code == 200
        found = answer.json()["active"]
        assert isinstance(found, bool)
        return found

    async def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token, its signature checked by the published keys."""
        keys = KeySet.import_key_set((await self.http.get("/jwks")).json())
        return dict(jwt.decode(token, keys, ["RS256"]).claims)


MINE = (CLIENT_ID, SECRET)


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Client authentication as H1 wants it: form-encoded before base64."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def answered(response: httpx2.Response) -> Form:
    """The parameters of an authorization response by redirect."""
    assert response.status_code == 303
    location = response.headers["location"]
    assert location.startswith(CALLBACK + "?")
    pairs = parse_qsl(urlsplit(location).query, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def error_of(response: httpx2.Response) -> str:
    """The error of an authorization response, which carries issuer and state all the same."""
    answer = answered(response)
    assert answer["iss"] == ISSUER
    assert answer["state"] == "st&te"
    assert "code" not in answer
    return answer["error"]
