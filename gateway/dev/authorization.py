"""The authorization endpoint and the login page (OpenID Connect Core section 3.1.2).

Order matters: nothing is sent to a redirect URI before client and URI are known to belong
together (RFC 9700 section 4.11.2); every answer names its issuer (RFC 9207).
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError, OAuth2Error
from authlib.oidc.core.errors import (
    LoginRequiredError,
    RequestNotSupportedError,
    RequestURINotSupportedError,
)
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.dev import pages
from gateway.dev.accounts import DevProviderSettings
from gateway.dev.authorization_server import Server
from gateway.dev.browser_sessions import BrowserSession, BrowserSessions
from gateway.dev.parameters import (
    Parameters,
    ProviderRequest,
    body_of,
    only_once,
    read_form,
    read_query,
)
from gateway.dev.records import Login

RESPONSE_MODES = ("query", "form_post")

_SECONDS = re.compile(r"[0-9]{1,10}")

Farewell = Callable[[BrowserSession], Awaitable[None]]


class Authorization:
    """`/authorize` and `/login`. `farewell` is called with a session that another one replaces."""

    def __init__(
        self,
        settings: DevProviderSettings,
        server: Server,
        sessions: BrowserSessions,
        farewell: Farewell,
    ) -> None:
        self._settings = settings
        self._server = server
        self._sessions = sessions
        self._farewell = farewell

    async def authorize(self, request: Request) -> Response:
        """`GET, POST /authorize`."""
        try:
            if request.method == "POST":
                # As a GET the request carries our Lax cookie, which a cross-site POST does not.
                form = await read_form(request)
                return RedirectResponse(f"/authorize?{urlencode(form.pairs)}", 303)
            parameters = read_query(request)
        except InvalidRequestError as error:
            return self._refuse(error.get_error_description())
        mistake = self._unredirectable(parameters)
        if mistake is not None:
            return self._refuse(mistake)
        session = self._sessions.of(request) or self._sessions.begin()
        try:
            response = self._decide(parameters, session)
        except OAuth2Error as error:
            response = self._answer(parameters, body_of(error))
        self._sessions.set_cookie(response, session)
        return response

    def _unredirectable(self, parameters: Parameters) -> str | None:
        """Return why no redirect URI of this request may be used (RFC 6749 section 4.1.2.1)."""
        client = self._server.query_client(parameters.only("client_id") or "")
        if client is None:
            return "The client is not registered here."
        if not client.check_redirect_uri(parameters.only("redirect_uri") or ""):
            return "The redirect URI is not registered for this client."
        return None

    def _decide(self, parameters: Parameters, session: BrowserSession) -> Response:
        """Answer at once, or ask a person; raises Authlib's `OAuth2Error` for the client."""
        asked = self._validated(parameters)
        login = session.login if self._is_fresh(session.login, parameters) else None
        grant = self._server.get_consent_grant(asked, login)
        if login is not None and grant.prompt is None:
            return self._grant(parameters, session, login)
        if parameters.only("prompt") == "none":
            raise LoginRequiredError
        page = pages.login_page(
            self._settings,
            client_id=asked.client.client_id,
            scope=asked.scope,
            ticket=self._sessions.ticket(session, parameters),
            hint=parameters.only("login_hint"),
        )
        return pages.respond(page, form_target=parameters.data["redirect_uri"])

    def _validated(self, parameters: Parameters) -> ProviderRequest:
        asked = ProviderRequest("GET", f"{self._settings.issuer}/authorize", parameters)
        only_once(asked)
        if "request" in parameters.data:
            raise RequestNotSupportedError
        if "request_uri" in parameters.data:
            raise RequestURINotSupportedError
        if parameters.data.get("response_mode", "query") not in RESPONSE_MODES:
            raise InvalidRequestError("This response_mode is not supported")
        if not _SECONDS.fullmatch(parameters.data.get("max_age", "0")):
            raise InvalidRequestError("max_age is not a number of seconds")
        return asked

    def _is_fresh(self, login: Login | None, parameters: Parameters) -> bool:
        """Whether the login is young and strong enough for `max_age` and `acr_values`."""
        if login is None:
            return False
        levels = parameters.data.get("acr_values", "").split()
        if levels and login.acr not in levels:
            return False
        max_age = parameters.only("max_age")
        age = self._server.records.clock.now() - login.auth_time
        return max_age is None or age < int(max_age)

    async def login(self, request: Request) -> Response:
        """`POST /login`: what the person chose on the login page."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return self._refuse("This form was sent from another site.")
        try:
            form = await read_form(request)
        except InvalidRequestError as error:
            return self._refuse(error.get_error_description())
        session = self._sessions.of(request)
        parameters = self._sessions.redeem(form.only("ticket") or "", session)
        if parameters is None or session is None:
            return self._refuse("This login page is out of date. Start again from the application.")
        account = self._settings.account_named(form.only("account") or "")
        if account is None:
            return self._answer(parameters, body_of(AccessDeniedError()))
        acr = parameters.data.get("acr_values", "").partition(" ")[0] or None
        after = self._sessions.log_in(session, account, acr)
        if session.login and session.login.account != account:
            await self._farewell(session)
        response = self._grant(parameters, after, after.login)
        self._sessions.set_cookie(response, after)
        return response

    def _grant(
        self, parameters: Parameters, session: BrowserSession, login: Login | None
    ) -> Response:
        """Issue a code for this login."""
        asked = ProviderRequest("GET", f"{self._settings.issuer}/authorize", parameters)
        try:
            grant = self._server.get_consent_grant(asked, login)
            _, _, headers = grant.create_authorization_response(grant.redirect_uri, login)
        except OAuth2Error as error:
            return self._answer(parameters, body_of(error))
        session.clients.add(asked.client.client_id)
        added = parse_qsl(urlsplit(dict(headers)["Location"]).query)
        return self._answer(parameters, [pair for pair in added if pair[0] == "code"][-1:])

    def _answer(self, parameters: Parameters, pairs: list[tuple[str, str]]) -> Response:
        """Send an authorization response the way the client asked for (303: E15)."""
        redirect_uri = parameters.data["redirect_uri"]
        state = parameters.only("state")
        pairs = [*pairs, ("iss", self._settings.issuer)]
        if state is not None:
            pairs.append(("state", state))
        if parameters.only("response_mode") == "form_post":
            page = pages.form_post_page(redirect_uri, pairs)
            return pages.respond(page, form_target=redirect_uri)
        joint = "&" if urlsplit(redirect_uri).query else "?"
        response = Response(status_code=303)
        response.headers["location"] = f"{redirect_uri}{joint}{urlencode(pairs)}"
        response.headers["cache-control"] = "no-store"
        response.headers["referrer-policy"] = "no-referrer"
        return response

    def _refuse(self, words: str) -> Response:
        return pages.respond(pages.error_page(self._settings, "This does not work", words), 400)
