"""The provider's memory as one JSON document and back, so that logins outlive a restart.

What is only ever compared (codes, tokens, cookies, the words in forms) stands there as a digest:
whoever reads the file can use nothing in it. Grants are listed once and named by their place.
"""

from dataclasses import dataclass

from gateway.dev.accounts import DevProviderSettings
from gateway.dev.browser_sessions import BrowserSession, BrowserSessions, Ticket
from gateway.dev.entries import Entry
from gateway.dev.parameters import Parameters
from gateway.dev.records import AuthorizationCode, Grant, Login, Records, Token
from gateway.ports import Clock

Document = dict[str, object]


def written(records: Records, sessions: BrowserSessions) -> Document:
    """Return everything that is remembered."""
    used = [code.grant for code in records.codes.values()]
    used += [token.grant for token in records.tokens.values()]
    grants = list({id(grant): grant for grant in used}.values())
    place_of = {id(grant): place for place, grant in enumerate(grants)}
    return {
        "grants": [_grant(grant) for grant in grants],
        "codes": [_code(key, code, place_of) for key, code in records.codes.items()],
        "tokens": [_token(token, place_of) for token in records.tokens.values()],
        "sessions": [_session(session) for session in sessions.sessions.values()],
        "tickets": [_ticket(key, ticket) for key, ticket in sessions.tickets.items()],
    }


def read(document: Document, settings: DevProviderSettings, clock: Clock) -> "Memory":
    """Return what `written` wrote; raises `ValueError` for anything else."""
    return _Reader(settings, clock).memory(Entry(document))


@dataclass(frozen=True, slots=True)
class Memory:
    """All that was read of a document; nothing is remembered before all of it is."""

    codes: dict[str, AuthorizationCode]
    tokens: dict[str, Token]
    sessions: dict[str, BrowserSession]
    tickets: dict[str, Ticket]

    def restore(self, records: Records, sessions: BrowserSessions) -> None:
        """Go on from here."""
        records.codes, records.tokens = self.codes, self.tokens
        sessions.sessions, sessions.tickets = self.sessions, self.tickets


def _grant(grant: Grant) -> Document:
    return {
        "client_id": grant.client_id,
        "login": _login(grant.login),
        "scope": grant.scope,
        "nonce": grant.nonce,
        "revoked": grant.revoked,
    }


def _login(login: Login) -> Document:
    return {
        "account": login.account.username,
        "auth_time": login.auth_time,
        "sid": login.sid,
        "acr": login.acr,
    }


def _code(key: str, code: AuthorizationCode, place_of: dict[int, int]) -> Document:
    return {
        "digest": key,
        "grant": place_of[id(code.grant)],
        "redirect_uri": code.redirect_uri,
        "code_challenge": code.code_challenge,
        "code_challenge_method": code.code_challenge_method,
        "expires_at": code.expires_at,
        "spent": code.spent,
    }


def _token(token: Token, place_of: dict[int, int]) -> Document:
    return {
        "digest": token.digest,
        "kind": token.kind,
        "grant": place_of[id(token.grant)],
        "scope": token.scope,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "spent": token.spent,
        "revoked": token.revoked,
    }


def _session(session: BrowserSession) -> Document:
    return {
        "digest": session.digest,
        "browser": session.browser,
        "expires_at": session.expires_at,
        "login": _login(session.login) if session.login else None,
        "clients": sorted(session.clients),
    }


def _ticket(key: str, ticket: Ticket) -> Document:
    return {
        "digest": key,
        "browser": ticket.browser,
        "parameters": ticket.parameters.pairs,
        "expires_at": ticket.expires_at,
    }


class _Reader:
    """The same the other way round."""

    def __init__(self, settings: DevProviderSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def memory(self, all_of_it: Entry) -> Memory:
        grants = [self._grant(one) for one in all_of_it.entries("grants")]
        tokens = [self._token(one, grants) for one in all_of_it.entries("tokens")]
        sessions = [self._session(one) for one in all_of_it.entries("sessions")]
        return Memory(
            codes={
                one.text("digest"): _read_code(one, grants) for one in all_of_it.entries("codes")
            },
            tokens={token.digest: token for token in tokens},
            sessions={session.digest: session for session in sessions},
            tickets={one.text("digest"): _read_ticket(one) for one in all_of_it.entries("tickets")},
        )

    def _grant(self, one: Entry) -> Grant:
        login = self._login(one.entry("login"))
        nonce = one.text_or_none("nonce")
        return Grant(one.text("client_id"), login, one.text("scope"), nonce, one.flag("revoked"))

    def _token(self, one: Entry, grants: list[Grant]) -> Token:
        return Token(
            digest=one.text("digest"),
            kind=one.text("kind"),
            grant=one.one_of(grants, "grant"),
            scope=one.text("scope"),
            issued_at=int(one.number("issued_at")),
            expires_at=int(one.number("expires_at")),
            clock=self._clock,
            spent=one.flag("spent"),
            revoked=one.flag("revoked"),
        )

    def _session(self, one: Entry) -> BrowserSession:
        return BrowserSession(
            digest=one.text("digest"),
            browser=one.text("browser"),
            expires_at=one.number("expires_at"),
            login=None if one.is_null("login") else self._login(one.entry("login")),
            clients=set(one.texts("clients")),
        )

    def _login(self, one: Entry) -> Login:
        account = self._settings.account_named(one.text("account"))
        if account is None:
            raise ValueError("nobody of that name is left")
        auth_time = int(one.number("auth_time"))
        return Login(account, auth_time, one.text("sid"), one.text_or_none("acr"))


def _read_code(one: Entry, grants: list[Grant]) -> AuthorizationCode:
    return AuthorizationCode(
        grant=one.one_of(grants, "grant"),
        redirect_uri=one.text("redirect_uri"),
        code_challenge=one.text("code_challenge"),
        code_challenge_method=one.text("code_challenge_method"),
        expires_at=one.number("expires_at"),
        spent=one.flag("spent"),
    )


def _read_ticket(one: Entry) -> Ticket:
    parameters = Parameters(one.pairs("parameters"))
    return Ticket(one.text("browser"), parameters, one.number("expires_at"))
