"""The development identity provider: a conforming OpenID provider without a single password.

    provider = create_identity_provider(settings, post_logout_token=deliver)
    serve(provider.app)

One page of routes; the rules are in `authorization` (browser), `grants` and `token_status` (back
channel) and `end_session`. Everything is in memory; a folder, if given, outlives the process.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from authlib.oauth2.rfc6749 import InvalidRequestError
from joserfc.jwk import KeySetSerialization
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.adapters.system import SystemClock, SystemEntropy
from gateway.dev import memory, pages
from gateway.dev.accounts import DevProviderSettings
from gateway.dev.authorization import Authorization
from gateway.dev.authorization_server import Server
from gateway.dev.browser_sessions import BrowserSessions
from gateway.dev.discovery import metadata
from gateway.dev.end_session import EndSession, PostLogoutToken
from gateway.dev.kept_folder import KeptFolder
from gateway.dev.parameters import ProviderRequest, read_form
from gateway.dev.records import ACCESS_TOKEN, Login, Records
from gateway.dev.signing import SigningKeys, read_keys
from gateway.dev.token_status import INTROSPECTION, REVOCATION
from gateway.ports import Clock, Entropy

KEPT_VERSION = 1  # a folder of another version is begun anew
_KEYS, _MEMORY = "signing-keys.json", "memory.json"

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to the token endpoint and how it ended."""

    grant_type: str
    client_id: str  # as claimed; see `status` for whether it was proved
    status: int


class DevProvider:
    """The application and, for tests and demonstrations, what happens inside it.

    `app` is an ASGI application. `issued` holds every code, token and other secret made in this
    run, `revoked` the digest of every token revoked before its time, `token_requests` a log,
    `undelivered` the back-channel logout URIs that could not be reached.
    """

    def __init__(
        self,
        settings: DevProviderSettings,
        post_logout_token: PostLogoutToken | None,
        clock: Clock,
        entropy: Entropy,
        kept: KeptFolder | None,
    ) -> None:
        self.settings = settings
        self.token_requests: list[TokenRequest] = []
        self._failing: list[int] = []
        self._kept = kept
        self._keys = SigningKeys((kept and kept.read(_KEYS, read_keys)) or ())
        self._records = Records(settings, clock, entropy)
        self._server = Server(settings, self._records, self._keys)
        secure = settings.issuer.startswith("https:")
        self._sessions = BrowserSessions(self._records, secure=secure)
        if kept is not None:
            found = kept.read(_MEMORY, lambda document: memory.read(document, settings, clock))
            if found is not None:
                found.restore(self._records, self._sessions)
        self._end_session = EndSession(
            settings, self._records, self._keys, self._sessions, post_logout_token
        )
        self.app: ASGIApp = Starlette(routes=self._routes())
        self.app.router.redirect_slashes = False
        self._save()

    # -- for tests and demonstrations ----------------------------------------------------------

    @property
    def issued(self) -> list[str]:
        """Every secret string made in this run, so that a test can look for them elsewhere."""
        return self._records.issued

    @property
    def revoked(self) -> list[str]:
        """The digest (`records.digest`) of every token that was revoked before its time."""
        return self._records.revoked

    @property
    def undelivered(self) -> list[str]:
        """The logout URIs of clients that did not take their logout token."""
        return self._end_session.undelivered

    @property
    def logins(self) -> list[Login]:
        """Who is logged in at the provider."""
        return self._sessions.live()

    def rotate_keys(self, *, forget_old: bool = False) -> None:
        """Sign with a new key from now on."""
        self._keys.rotate(forget_old=forget_old)
        self._save()

    def fail_next_token_requests(self, count: int, status: int = 503) -> None:
        """Answer the next token requests with this status, without looking at them."""
        self._failing += [status] * count

    async def end_login(self, sid: str) -> bool:
        """End a login from the provider's side, back-channel logout included."""
        session = self._sessions.with_sid(sid)
        if session is not None:
            await self._end_session.end(session)
            self._save()
        return session is not None

    async def jwks(self) -> KeySetSerialization:
        """Return the public keys, as the JWKS endpoint does."""
        return self._keys.public()

    # -- routes --------------------------------------------------------------------------------

    def _routes(self) -> list[Route]:
        browser = Authorization(self.settings, self._server, self._sessions, self._end_session.end)
        logout = self._end_session
        kept = self._kept_first
        return [
            Route("/", self._home),
            Route("/.well-known/openid-configuration", self._discovery),
            Route("/.well-known/oauth-authorization-server", self._discovery),
            Route("/jwks", self._jwks),
            Route("/authorize", kept(browser.authorize), methods=["GET", "POST"]),
            Route("/login", kept(browser.login), methods=["POST"]),
            Route("/token", kept(self._token), methods=["POST"]),
            Route("/userinfo", self._userinfo, methods=["GET", "POST"]),
            Route("/revoke", kept(self._status_endpoint(REVOCATION)), methods=["POST"]),
            Route("/introspect", self._status_endpoint(INTROSPECTION), methods=["POST"]),
            Route("/logout", kept(logout.end_session), methods=["GET", "POST"]),
            Route("/logout/confirm", kept(logout.confirm), methods=["POST"]),
        ]

    def _kept_first(self, endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            finally:
                # Before anybody sees the answer: what was given out must never be forgotten.
                self._save()

        return answer

    def _save(self) -> None:
        if self._kept is not None:
            self._kept.write(_KEYS, self._keys.written())
            self._kept.write(_MEMORY, memory.written(self._records, self._sessions))

    async def _home(self, request: Request) -> Response:
        session = self._sessions.of(request)
        login = session.login if session else None
        return pages.respond(
            pages.home_page(self.settings, login, session.clients if session else ())
        )

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse(metadata(self.settings))

    async def _jwks(self, _: Request) -> Response:
        return Response(json.dumps(self._keys.public()), media_type="application/jwk-set+json")

    async def _token(self, request: Request) -> Response:
        if self._failing:
            status = self._failing.pop(0)
            self.token_requests.append(TokenRequest("", "", status))
            return JSONResponse({"error": "temporarily_unavailable"}, status)
        received = await self._received(request)
        if isinstance(received, Response):
            return received
        response: Response = self._server.create_token_response(received)
        form = received.form
        grant_type, client_id = form.get("grant_type", ""), form.get("client_id", "")
        if received.client is not None:
            client_id = received.client.client_id
        self.token_requests.append(TokenRequest(grant_type, client_id, response.status_code))
        return response

    def _status_endpoint(self, name: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            received = await self._received(request)
            if isinstance(received, Response):
                return received
            response: Response = self._server.create_endpoint_response(name, received)
            return response

        return endpoint

    async def _received(self, request: Request) -> ProviderRequest | Response:
        try:
            parameters = await read_form(request)
        except InvalidRequestError as error:
            response: Response = self._server.handle_error_response(None, error)
            return response
        url = self.settings.issuer + request.url.path
        authorization = request.headers.getlist("authorization")
        return ProviderRequest(request.method, url, parameters, authorization)

    async def _userinfo(self, request: Request) -> Response:
        """Answer OpenID Connect Core section 5.3; the token comes in the header and only there."""
        scheme, _, value = ", ".join(request.headers.getlist("authorization")).partition(" ")
        token = self._records.live_token(value, ACCESS_TOKEN)
        if scheme.lower() != "bearer":
            return _challenge(401, "Bearer")
        if token is None:
            return _challenge(401, 'Bearer error="invalid_token"')
        if "openid" not in token.scope.split():
            return _challenge(403, 'Bearer error="insufficient_scope", scope="openid"')
        claims = token.grant.login.account.claims(token.scope)
        return JSONResponse(claims, headers={"cache-control": "no-store"})


def create_identity_provider(
    settings: DevProviderSettings,
    *,
    post_logout_token: PostLogoutToken | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    kept: KeptFolder | None = None,
) -> DevProvider:
    """Return a provider; `.app` is its ASGI application, to be served at the issuer's origin.

    `post_logout_token(uri, logout_token)` delivers back-channel logout: a form POST with the one
    field `logout_token`. It may raise; the provider's own logout goes on. `kept` is where the keys,
    grants and logins of an earlier run are, and where those of this one go.
    """
    return DevProvider(
        settings, post_logout_token, clock or SystemClock(), entropy or SystemEntropy(), kept
    )


def _challenge(status: int, challenge: str) -> Response:
    return Response(status_code=status, headers={"www-authenticate": challenge})
