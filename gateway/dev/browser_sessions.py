"""The provider's own sessions with browsers, and the tickets that tie a form to one of them."""

import hmac
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.dev.accounts import Account
from gateway.dev.parameters import Parameters
from gateway.dev.records import Login, Records, digest

COOKIE = "idp-session"

_SESSION_LIFETIME = 12 * 3600.0  # seconds
_TICKET_LIFETIME = 600.0
_MOST_TICKETS = 1000
_MOST_SESSIONS = 10_000


@dataclass(slots=True)
class BrowserSession:
    """One browser's session; `login` is None until somebody logs in with it.

    `digest` is what is kept of the cookie; `cookie` is None once only the browser has it.
    `browser` outlives the cookie, so that a login page left open in another tab still works.
    """

    digest: str
    browser: str = field(repr=False)
    expires_at: float
    login: Login | None = None
    clients: set[str] = field(default_factory=set)  # who has to hear of the end
    cookie: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that waits for a person's answer, in the browser that made it."""

    browser: str = field(repr=False)
    parameters: Parameters
    expires_at: float


class BrowserSessions:
    """All sessions and tickets, by digest. Bounded: the oldest make room."""

    def __init__(self, records: Records, *, secure: bool) -> None:
        self.sessions: dict[str, BrowserSession] = {}
        self.tickets: dict[str, Ticket] = {}
        self._records = records
        self._secure = secure

    def of(self, request: Request) -> BrowserSession | None:
        """Return the session of the request's one cookie; two of that name are none."""
        sent = [
            value
            for line in request.headers.getlist("cookie")
            for name, _, value in (pair.strip().partition("=") for pair in line.split(";"))
            if name == COOKIE
        ]
        found = self.sessions.get(digest(sent[0])) if len(sent) == 1 else None
        return found if found and self._records.clock.now() < found.expires_at else None

    def begin(self, browser: str | None = None) -> BrowserSession:
        """Return a new session in which nobody is logged in."""
        self._sweep()
        cookie = self._records.secret()
        session = BrowserSession(
            digest(cookie),
            browser or self._records.secret(),
            self._records.clock.now() + _SESSION_LIFETIME,
            cookie=cookie,
        )
        self.sessions[session.digest] = session
        _drop_oldest(self.sessions, _MOST_SESSIONS)
        return session

    def log_in(self, before: BrowserSession, account: Account, acr: str | None) -> BrowserSession:
        """Return the session after a login: always a new cookie (session fixation, CWE-384).

        The same person again goes on with the session's name; anybody else gets a new one.
        """
        auth_time = int(self._records.clock.now())
        after = self.begin(before.browser)
        if before.login and before.login.account == account:
            sid, after.clients = before.login.sid, before.clients
        else:
            sid = self._records.secret()
        after.login = Login(account, auth_time, sid, acr)
        self.sessions.pop(before.digest, None)
        return after

    def with_sid(self, sid: str) -> BrowserSession | None:
        """Return the live session of this name."""
        found = (one for one in self.sessions.values() if one.login and one.login.sid == sid)
        return next(found, None)

    def end(self, session: BrowserSession) -> None:
        """Forget the session."""
        self.sessions.pop(session.digest, None)

    def live(self) -> list[Login]:
        """Return who is logged in."""
        return [one.login for one in self.sessions.values() if one.login]

    def set_cookie(self, response: Response, session: BrowserSession) -> None:
        """Hand the browser its cookie, until it closes; one that came from it is left as it is."""
        if session.cookie is None:
            return
        response.set_cookie(
            COOKIE, session.cookie, httponly=True, samesite="lax", secure=self._secure, path="/"
        )

    def drop_cookie(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=self._secure, path="/")

    def ticket(self, session: BrowserSession, parameters: Parameters) -> str:
        """Return an unguessable word for a form in this browser: the defence against CSRF."""
        word = self._records.secret()
        expires_at = self._records.clock.now() + _TICKET_LIFETIME
        self.tickets[digest(word)] = Ticket(session.browser, parameters, expires_at)
        _drop_oldest(self.tickets, _MOST_TICKETS)
        return word

    def redeem(self, word: str, session: BrowserSession | None) -> Parameters | None:
        """Return what the form was about, once, and only in the browser that was shown it."""
        ticket = self.tickets.get(digest(word))
        if ticket is None or session is None:
            return None
        if not hmac.compare_digest(ticket.browser, session.browser):
            return None
        del self.tickets[digest(word)]
        return ticket.parameters if self._records.clock.now() < ticket.expires_at else None

    def _sweep(self) -> None:
        now = self._records.clock.now()
        self.sessions = {k: s for k, s in self.sessions.items() if s.expires_at > now}
        self.tickets = {k: t for k, t in self.tickets.items() if t.expires_at > now}


def _drop_oldest(entries: dict[str, Any], most: int) -> None:
    while len(entries) > most:
        del entries[next(iter(entries))]
