"""A scripted OpenID provider: honest by default, and every lie is one attribute away.

It is both sides of one: `send` is the gateway's back channel (the `BackChannel` port), and calling
it as an ASGI application is the authorization endpoint the browser sees. Codes, PKCE and client
authentication are really checked, so a login that passes here passed for the right reasons.
"""

import base64
import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.ports import Clock
from tests.support.token_families import Attempt, Families, Reuse

KEY = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"}, private=True)
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig", "alg": "RS256"}, private=True)
EC_KEY = ECKey.generate_key("P-256", {"kid": "e1", "use": "sig", "alg": "ES256"}, private=True)

Claims = dict[str, Any]


@dataclass
class FakeProvider:
    """One provider. Attributes are switches; lists are what it saw and issued."""

    clock: Clock
    issuer: str = "https://id.example"
    client_id: str = "spa"
    client_secret: str = "a-client-secret-of-32-characters"
    subject: str = "ada"
    sid: str | None = "sid-1"
    lifetime: Any = 300
    client_key: Any = None  # the client's public key, for private_key_jwt
    assertions: list[str] = field(default_factory=list)
    rotate: bool = True
    down: bool = False
    metadata: Claims = field(default_factory=dict)
    jwks: list[Claims] = field(default_factory=lambda: [KEY.as_dict(private=False)])
    change_id_token: Callable[[Claims], Claims] = lambda claims: claims
    sign: Callable[[Claims], str] | None = None
    change_token_answer: Callable[[Claims], Claims] = lambda answer: answer
    change_callback: Callable[[dict[str, str]], dict[str, str]] = lambda parameters: parameters
    userinfo: Claims | None = None
    signed_userinfo: str | None = None  # instead of the above
    answers: dict[str, deque[BackChannelAnswer]] = field(default_factory=dict)
    requests: list[BackChannelRequest] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    codes: dict[str, Attempt] = field(default_factory=dict)
    reuse: Reuse = Reuse.NONE
    count: int = 0

    def __post_init__(self) -> None:
        self.families = Families(self.clock, self.reuse)

    @property
    def refresh_tokens(self) -> dict[str, Attempt]:
        """The refresh tokens it would accept now, and the logins they came from."""
        return self.families.valid

    def url(self, path: str) -> str:
        return self.issuer + path

    # -- the back channel ----------------------------------------------------------------------

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        self.requests.append(request)
        if self.down:
            raise Unavailable(Code.PROVIDER_UNAVAILABLE, note="the fake is down")
        path = request.url.removeprefix(self.issuer)
        if scripted := self.answers.get(path):
            return scripted.popleft()
        if request.url == self._published()["token_endpoint"]:
            return self._token(request)
        match path:
            case "/.well-known/openid-configuration":
                return _json(self._published())
            case "/jwks":
                return _json({"keys": self.jwks})
            case "/userinfo" if self.signed_userinfo is not None:
                return BackChannelAnswer(200, "application/jwt", self.signed_userinfo.encode())
            case "/userinfo":
                return _json(self.userinfo or {"sub": self.subject, "name": "Ada Lovelace"})
            case "/revoke":
                self.revoked.append(dict(parse_qsl(request.body.decode()))["token"])
                self.families.revoke_token(self.revoked[-1])
                return BackChannelAnswer(200)
        return BackChannelAnswer(404)

    def seen(self, path: str) -> int:
        """How many requests this path got."""
        return Counter(request.url for request in self.requests)[self.url(path)]

    def _published(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.url("/token"),
            "jwks_uri": self.url("/jwks"),
            "userinfo_endpoint": self.url("/userinfo"),
            "revocation_endpoint": self.url("/revoke"),
            "end_session_endpoint": self.url("/logout"),
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }

    def _token(self, request: BackChannelRequest) -> BackChannelAnswer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if not self._client_is_proved(request, form):
            return _json({"error": "invalid_client"}, 401)
        if form["grant_type"] == "authorization_code":
            attempt = self.codes.pop(form["code"], None)
            if attempt is None or not self._pkce_holds(attempt, form):
                return _json({"error": "invalid_grant"}, 400)
        else:
            attempt = self.families.spend(form["refresh_token"], rotate=self.rotate)
            if attempt is None:
                return _json({"error": "invalid_grant"}, 400)
        return _json(self.change_token_answer(self._grant(attempt)))

    def _client_is_proved(self, request: BackChannelRequest, form: dict[str, str]) -> bool:
        proofs = [value for name, value in request.fields if name == b"authorization"]
        if self.client_key is None:
            expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode())
            return proofs == [b"Basic " + expected]
        token = jwt.decode(form["client_assertion"], self.client_key, algorithms=["RS256"])
        claims = token.claims
        fresh = claims["jti"] not in self.assertions
        self.assertions.append(claims["jti"])
        about = (claims["iss"], claims["sub"], claims["aud"])
        on_time = self.clock.now() < claims["exp"] <= self.clock.now() + 120
        # The audience is the issuer, as one string (RFC 10070).
        return (
            not proofs
            and fresh
            and on_time
            and about == (self.client_id, self.client_id, self.issuer)
        )

    @staticmethod
    def _pkce_holds(attempt: Attempt, form: dict[str, str]) -> bool:
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        asked = attempt.parameters
        return (
            challenge == asked["code_challenge"] and form["redirect_uri"] == asked["redirect_uri"]
        )

    def _grant(self, attempt: Attempt) -> Claims:
        access, refresh = self.mint("at"), self.mint("rt")
        lifetime = self.lifetime if isinstance(self.lifetime, int | float) else 300.0
        self.families.issue(attempt, access, refresh, lifetime)
        claims: Claims = {
            "iss": self.issuer,
            "sub": attempt.subject,
            "aud": self.client_id,
            "iat": int(self.clock.now()),
            "exp": int(self.clock.now()) + 300,
            "name": "Ada Lovelace",
            "email": "ada@example.org",
        }
        if "nonce" in attempt.parameters:
            claims["nonce"] = attempt.parameters["nonce"]
        if attempt.sid is not None:
            claims["sid"] = attempt.sid
        id_token = (self.sign or sign)(self.change_id_token(claims))
        self.issued.append(id_token)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "refresh_token": refresh,
            "id_token": id_token,
            "scope": attempt.parameters["scope"],
        }

    def mint(self, kind: str) -> str:
        """A token value that a test can look for anywhere."""
        self.count += 1
        host = urlsplit(self.issuer).hostname
        value = (
            f"{kind}-{host}-{self.count:04d}-"
            + hashlib.sha256(f"{kind}{self.issuer}{self.count}".encode()).hexdigest()
        )
        self.issued.append(value)
        return value

    # -- the browser's side --------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        parameters = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        status, fields, body = 200, [(b"content-type", b"text/html")], b"<h1>provider</h1>"
        if scope["path"] == "/authorize":
            self.authorizations.append(parameters)
            answer = self._authorize(parameters)
            if parameters.get("response_mode") == "form_post":
                body = urlencode(answer).encode()  # the tests post it themselves
            else:
                target = f"{parameters['redirect_uri']}?{urlencode(answer)}"
                status, fields = 303, [(b"location", target.encode())]
        elif scope["path"] == "/logout" and "post_logout_redirect_uri" in parameters:
            back = urlencode({"state": parameters["state"]})
            location = f"{parameters['post_logout_redirect_uri']}?{back}"
            status, fields = 303, [(b"location", location.encode())]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    def _authorize(self, parameters: dict[str, str]) -> dict[str, str]:
        code = self.mint("code")
        self.codes[code] = Attempt(parameters, self.subject, self.sid)
        answer = {"code": code, "state": parameters["state"], "iss": self.issuer}
        return self.change_callback(answer)


class Providers:
    """The back channel to several fakes, told apart by their origin."""

    def __init__(self, *providers: FakeProvider) -> None:
        self._providers = providers

    async def send(self, request: BackChannelRequest) -> BackChannelAnswer:
        for provider in self._providers:
            if request.url.startswith(provider.issuer + "/"):
                return await provider.send(request)
        raise AssertionError(f"a request to a stranger: {request.url}")


def sign(claims: Claims, key: Any = KEY, header: Claims | None = None) -> str:
    """A compact JWS over the claims, RS256 unless the header says otherwise."""
    protected = {"alg": "RS256", "kid": key.kid, **(header or {})}
    return jws.serialize_compact(
        protected, json.dumps(claims).encode(), key, algorithms=[protected["alg"]]
    )


def _json(members: Any, status: int = 200) -> BackChannelAnswer:
    return BackChannelAnswer(status, "application/json", json.dumps(members).encode())
