"""What an operator asks about sessions, and whether it is one who asks. Pure.

    GET    /admin/sessions?issuer=…&subject=…     a person's sessions
    GET    /admin/sessions/{session_id}           one
    DELETE /admin/sessions/{session_id}           end one
    DELETE /admin/sessions?issuer=…&subject=…     end a person's
    DELETE /admin/sessions?provider=NAME          end all of one provider
    DELETE /admin/sessions?all=true               end all

A mistyped order must not end more than was meant: exactly one selector, nothing unknown beside it.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from gateway.edge.messages import BrowserRequest
from gateway.errors import Code, Refused
from gateway.secret import AdminToken

PATH = b"/admin/sessions"

_SESSION_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]+)")
_MOST_PARAMETERS = 10
_SELECTORS = ({"issuer", "subject"}, {"provider"}, {"all"})
_KNOWN = {name for names in _SELECTORS for name in names}
_SAY_WHICH = "Give issuer and subject, or provider, or all=true, and nothing else."


@dataclass(frozen=True, slots=True)
class OneSession:
    """By its public id."""

    session_id: str


@dataclass(frozen=True, slots=True)
class OnePerson:
    """All sessions of (issuer, subject), never of a name or an e-mail address (D9)."""

    issuer: str = field(repr=False)
    subject: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OneProvider:
    """All sessions of one provider, by its name in the configuration: one client of one issuer."""

    name: str


@dataclass(frozen=True, slots=True)
class Everybody:
    """All sessions there are."""


Some = OneSession | OnePerson
Selector = Some | OneProvider | Everybody


@dataclass(frozen=True, slots=True)
class Look:
    """Describe these sessions, and change nothing."""

    at: Some


@dataclass(frozen=True, slots=True)
class End:
    """End these sessions."""

    whose: Selector


Order = Look | End


def require_operator(
    request: BrowserRequest, *, token: AdminToken | None, only_this_machine: bool
) -> None:
    """Refuse whoever is no operator; `only_this_machine` says that nobody else can connect.

    First whatever a web page could have sent: it reaches a loopback listener from the operator's
    own browser, with whatever that machine may do (C1). A page cannot leave these fields out:
    browsers write Sec-Fetch-Site, and Origin on every DELETE and every read across origins.

    Raises Refused: ADMIN_FROM_PAGE, ADMIN_TOKEN, ADMIN_NOT_CONFIGURED.
    """
    site = request.values(b"sec-fetch-site")
    if request.values(b"origin") or site not in ([], [b"none"]):
        raise Refused(Code.ADMIN_FROM_PAGE)
    if token is None:
        if not only_this_machine:
            raise Refused(Code.ADMIN_NOT_CONFIGURED)
        return
    shown = _BEARER.fullmatch(request.only(b"authorization") or b"")
    # Compared in constant time: secrets know no other way (CWE-208).
    if shown is None or AdminToken(shown[1].decode("ascii")) != token:
        challenge = ((b"www-authenticate", b"Bearer"),)
        raise Refused(Code.ADMIN_TOKEN, fields=challenge)


def read_order(method: str, target: bytes) -> Order:
    """Return what is asked for, by method and target as they stood on the wire.

    Raises Refused: ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED, ADMIN_SELECTOR, SESSION_NOT_FOUND (what is
    no session's id names no session).
    """
    path, _, query = target.partition(b"?")
    one = path.removeprefix(PATH + b"/")
    if path != PATH and one == path:
        raise Refused(Code.ROUTE_NOT_FOUND)
    if method not in ("GET", "HEAD", "DELETE"):
        allowed = ((b"allow", b"GET, HEAD, DELETE"),)
        raise Refused(Code.METHOD_NOT_ALLOWED, fields=allowed)
    if path != PATH:
        if query:
            raise Refused(Code.ADMIN_SELECTOR, "The session's id is enough; nothing beside it.")
        if not _SESSION_ID.fullmatch(one):
            raise Refused(Code.SESSION_NOT_FOUND)
        which = OneSession(one.decode("ascii"))
        return End(which) if method == "DELETE" else Look(which)
    whose = _selector(query)
    if method == "DELETE":
        return End(whose)
    if not isinstance(whose, OnePerson):
        raise Refused(Code.ADMIN_SELECTOR, "Sessions are listed by issuer and subject.")
    return Look(whose)


def _selector(query: bytes) -> Selector:
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise Refused(Code.ADMIN_SELECTOR, _SAY_WHICH) from None
    given = dict(pairs)
    if not given.keys() <= _KNOWN:
        raise Refused(Code.ADMIN_SELECTOR, f"There is an unknown parameter. {_SAY_WHICH}")
    if len(given) < len(pairs):
        raise Refused(Code.ADMIN_SELECTOR, f"A parameter occurs twice. {_SAY_WHICH}")
    if given.keys() not in _SELECTORS:
        raise Refused(Code.ADMIN_SELECTOR, _SAY_WHICH)
    if not all(given.values()):
        raise Refused(Code.ADMIN_SELECTOR, f"A parameter is empty. {_SAY_WHICH}")
    if "all" in given:
        if given["all"] != "true":
            raise Refused(Code.ADMIN_SELECTOR, "Write all=true to mean everybody.")
        return Everybody()
    if "provider" in given:
        return OneProvider(given["provider"])
    return OnePerson(given["issuer"], given["subject"])
