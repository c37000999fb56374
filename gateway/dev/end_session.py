"""Ending a login: RP-Initiated Logout 1.0 and Back-Channel Logout 1.0, the provider's side."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.rfc6749 import InvalidRequestError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.dev import pages
from gateway.dev.accounts import DevClient, DevProviderSettings
from gateway.dev.browser_sessions import BrowserSession, BrowserSessions
from gateway.dev.parameters import Parameters, read_form, read_query
from gateway.dev.records import Records
from gateway.dev.signing import SigningKeys

PostLogoutToken = Callable[[str, str], Awaitable[None]]
"""Delivers a logout token to a client: `await post(uri, logout_token)`."""

_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TOKEN_LIFETIME = 120  # seconds (Back-Channel Logout section 4: short)
_PATIENCE = 5.0  # seconds all clients together may take


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A checked logout request. `session` is what the hint proves the client knows of."""

    hinted: bool
    session: BrowserSession | None
    return_to: str | None = field(repr=False)


class EndSession:
    """`/logout`, and telling every client of a session that it is over."""

    def __init__(
        self,
        settings: DevProviderSettings,
        records: Records,
        keys: SigningKeys,
        sessions: BrowserSessions,
        post_logout_token: PostLogoutToken | None,
    ) -> None:
        self.undelivered: list[str] = []  # URIs whose client did not take its token
        self._settings = settings
        self._records = records
        self._keys = keys
        self._sessions = sessions
        self._post = post_logout_token

    async def end_session(self, request: Request) -> Response:
        """`GET, POST /logout` (RP-Initiated Logout section 2)."""
        try:
            posted = request.method == "POST"
            parameters = await read_form(request) if posted else read_query(request)
            asked = self._read(parameters)
        except InvalidRequestError as error:
            return self._refuse(error.get_error_description())
        mine = self._sessions.of(request)
        if asked.hinted:
            if asked.session is not None:
                await self.end(asked.session)
            return self._done(asked.return_to, drop=mine is not None and mine is asked.session)
        if posted:
            # As a GET the request carries our Lax cookie, which a cross-site POST does not.
            return RedirectResponse(f"/logout?{urlencode(parameters.pairs)}", 303)
        if mine is None or mine.login is None:
            return self._done(asked.return_to, drop=False)
        ticket = self._sessions.ticket(mine, parameters)
        page = pages.confirm_logout_page(mine.login, ticket)
        return pages.respond(page, form_target=asked.return_to)

    async def confirm(self, request: Request) -> Response:
        """`POST /logout/confirm`: the person's answer to the question."""
        try:
            form = await read_form(request)
            mine = self._sessions.of(request)
            parameters = self._sessions.redeem(form.only("ticket") or "", mine)
            asked = parameters and self._read(parameters)
        except InvalidRequestError as error:
            return self._refuse(error.get_error_description())
        if asked is None or mine is None:
            return self._refuse("This page is out of date.")
        if "stay" in form.data:
            return self._done(asked.return_to or "/", drop=False)
        await self.end(mine)
        return self._done(asked.return_to, drop=True)

    async def end(self, session: BrowserSession) -> None:
        """End a session: forget it, revoke what hangs on it, tell its clients."""
        self._sessions.end(session)
        if session.login is None:
            return
        self._records.revoke_session(session.login.sid)
        told = [
            self._tell(client, session)
            for client in self._settings.clients
            if client.client_id in session.clients
        ]
        await asyncio.gather(*told)

    async def _tell(self, client: DevClient, session: BrowserSession) -> None:
        uri = client.backchannel_logout_uri
        if uri is None or self._post is None:
            return
        token = self.logout_token(client.client_id, session)
        try:
            await asyncio.wait_for(self._post(uri, token), _PATIENCE)
        except Exception:  # noqa: BLE001  a client that cannot be reached must not keep us logged in
            self.undelivered.append(uri)

    def logout_token(self, client_id: str, session: BrowserSession) -> str:
        """Return a logout token for one client (Back-Channel Logout section 2.4)."""
        login = session.login
        if login is None:
            raise ValueError("nobody is logged in in this session")
        now = int(self._records.clock.now())
        claims = {
            "iss": self._settings.issuer,
            "sub": login.account.sub,
            "aud": client_id,
            "iat": now,
            "exp": now + _TOKEN_LIFETIME,
            "jti": self._records.secret(),
            "events": {_EVENT: {}},
            "sid": login.sid,
        }
        token = self._keys.sign("logout+jwt", claims)
        self._records.issued.append(token)
        return token

    def _read(self, parameters: Parameters) -> LogoutRequest:
        """Check the request; raises `InvalidRequestError` before anything is ended."""
        if parameters.repeated:
            raise InvalidRequestError("A parameter occurs twice")
        client_id = parameters.only("client_id")
        hint = parameters.only("id_token_hint")
        session = None
        if hint is not None:
            # Expired is fine (section 2); an access or logout token is no ID token, hence `typ`.
            claims = self._keys.verify(hint, "JWT")
            if claims is None:
                raise InvalidRequestError(
                    "The id_token_hint is not an ID token from here. Has this provider been begun "
                    "anew since the login? The app's own session is over all the same."
                )
            if client_id not in (None, claims["aud"]):
                raise InvalidRequestError("The id_token_hint was issued to another client")
            client_id = claims["aud"]
            session = self._sessions.with_sid(claims["sid"])
        return LogoutRequest(hint is not None, session, self._return_to(parameters, client_id))

    def _return_to(self, parameters: Parameters, client_id: str | None) -> str | None:
        """Return where to go afterwards: only a URI registered for this very client (section 3)."""
        wanted = parameters.only("post_logout_redirect_uri")
        client = self._settings.client_named.get(client_id or "")
        if wanted is None or client is None or wanted not in client.post_logout_redirect_uris:
            return None
        state = parameters.only("state")
        if state is None:
            return wanted
        joint = "&" if urlsplit(wanted).query else "?"
        return f"{wanted}{joint}{urlencode({'state': state})}"

    def _done(self, return_to: str | None, *, drop: bool) -> Response:
        if return_to is None:
            response = pages.respond(pages.logged_out_page())
        else:
            response = RedirectResponse(return_to, 303)
            response.headers["cache-control"] = "no-store"
        if drop:
            self._sessions.drop_cookie(response)
        return response

    def _refuse(self, words: str) -> Response:
        page = pages.error_page(self._settings, "This logout does not work", words)
        return pages.respond(page, 400)
