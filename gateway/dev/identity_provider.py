"""The development identity provider: a conforming OpenID provider without a single password.

    provider = create_identity_provider(settings, post_logout_token=deliver)
    serve(provider.app)

One page of routes; the rules are in `authorization` (browser), `grants` and `token_status` (back
channel) and `end_session`. Everything is in memory and gone with the process.
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
from gateway.dev import pages
from gateway.dev.accounts import DevProviderSettings
from gateway.dev.authorization import Authorization
from gateway.dev.authorization_server import Server
from gateway.dev.browser_sessions import BrowserSessions
from gateway.dev.discovery import metadata
from gateway.dev.end_session import EndSession, PostLogoutToken
from gateway.dev.parameters import ProviderRequest, read_form
from gateway.dev.records import ACCESS_TOKEN, Login, Records
from gateway.dev.signing import SigningKeys
from gateway.dev.token_status import INTROSPECTION, REVOCATION
from gateway.ports import Clock, Entropy

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to the token endpoint and how it ended."""

    grant_type: str
    client_id: str  # as claimed; see `status` for whether it was proved
    status: int


class DevProvider:
    """The application and, for tests and demonstrations, what happens inside it.

    `app` is an ASGI application. `issued` holds every code, token and other secret ever made,
    `revoked` every token revoked before its time, `token_requests` a log, `undelivered` the
    back-channel logout URIs that could not be reached.
    """

    def __init__(
        self,
        settings: DevProviderSettings,
        post_logout_token: PostLogoutToken | None,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.settings = settings
        self.token_requests: list[TokenRequest] = []
        self._failing: list[int] = []
        self._keys = SigningKeys()
        self._records = Records(settings, clock, entropy)
        self._server = Server(settings, self._records, self._keys)
        secure = settings.issuer.startswith("https:")
        self._sessions = BrowserSessions(self._records, secure=secure)
        self._end_session = EndSession(
            settings, self._records, self._keys, self._sessions, post_logout_token
        )
        self.app: ASGIApp = Starlette(routes=self._routes())
        self.app.router.redirect_slashes = False

    # -- for tests and demonstrations ----------------------------------------------------------

    @property
    def issued(self) -> list[str]:
        """Every secret string ever made here, so that a test can look for them elsewhere."""
        return self._records.issued

    @property
    def revoked(self) -> list[str]:
        """Every token that was revoked before its time."""
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

    def fail_next_token_requests(self, count: int, status: int = 503) -> None:
        """Answer the next token requests with this status, without looking at them."""
        self._failing += [status] * count

    async def end_login(self, sid: str) -> bool:
        """End a login from the provider's side, back-channel logout included."""
        session = self._sessions.with_sid(sid)
        if session is not None:
            await self._end_session.end(session)
        return session is not None

    async def jwks(self) -> KeySetSerialization:
        """Return the public keys, as the JWKS endpoint does."""
        return self._keys.public()

    # -- routes --------------------------------------------------------------------------------

    def _routes(self) -> list[Route]:
        browser = Authorization(self.settings, self._server, self._sessions, self._end_session.end)
        logout = self._end_session
        return [
            Route("/", self._home),
            Route("/.well-known/openid-configuration", self._discovery),
            Route("/.well-known/oauth-authorization-server", self._discovery),
            Route("/jwks", self._jwks),
            Route("/authorize", browser.authorize, methods=["GET", "POST"]),
            Route("/login", browser.login, methods=["POST"]),
            Route("/token", self._token, methods=["POST"]),
            Route("/userinfo", self._userinfo, methods=["GET", "POST"]),
            Route("/revoke", self._status_endpoint(REVOCATION), methods=["POST"]),
            Route("/introspect", self._status_endpoint(INTROSPECTION), methods=["POST"]),
            Route("/logout", logout.end_session, methods=["GET", "POST"]),
            Route("/logout/confirm", logout.confirm, methods=["POST"]),
        ]

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
) -> DevProvider:
    """Return a provider; `.app` is its ASGI application, to be served at the issuer's origin.

    `post_logout_token(uri, logout_token)` delivers back-channel logout: a form POST with the one
    field `logout_token`. It may raise; the provider's own logout goes on.
    """
    return DevProvider(
        settings, post_logout_token, clock or SystemClock(), entropy or SystemEntropy()
    )


def _challenge(status: int, challenge: str) -> Response:
    return Response(status_code=status, headers={"www-authenticate": challenge})
