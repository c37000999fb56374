"""The authorization request: what a browser may wish for, and the URL we send it to.

The browser chooses among seven parameters, each with its own grammar. Nothing else it sends gets
through (E14): scopes, client and redirect URI come from configuration alone.
"""

import re
from dataclasses import dataclass

from gateway.errors import Code, Refused
from gateway.oidc.attempt import MAX_STATE, LoginAttempt
from gateway.oidc.client import Client, ResponseMode
from gateway.oidc.metadata import Metadata
from gateway.oidc.parameters import UnreadableParameter, read_parameters, with_parameters
from gateway.secret import Nonce

MAX_QUERY = 8192
MAX_AGE_LIMIT = 10**9  # seconds

_KNOWN = frozenset(
    {
        "provider",
        "return_to",
        "iss",
        "target_link_uri",
        "prompt",
        "login_hint",
        "acr_values",
        "max_age",
        "ui_locales",
        "resume",
    }
)
_PROMPTS = frozenset({"none", "login", "consent", "select_account", "create"})
_LONGEST_HINT = 320  # the longest e-mail address
_PROVIDER = re.compile(r"[!-~]{1,64}")
_RESUME = re.compile(r"[A-Za-z0-9_-]{1,8000}")
_SECONDS = re.compile(r"[0-9]{1,10}")
# Space-separated words, as RFC 6749 section 3.3 spells them, and language tags (RFC 5646).
_WORDS = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
_LOCALES = re.compile(r"[A-Za-z0-9-]+(?: [A-Za-z0-9-]+)*")
_LONGEST_WORDS = 512


@dataclass(frozen=True, slots=True)
class LoginWish:
    """What the browser asked of a login, each value well formed but not yet allowed.

    `issuer` and `target_link_uri`, which counts as `return_to`, are how a provider or a portal
    starts a login (Core section 4). `return_to` is unchecked (`edge/return_to.py` does that);
    `resume` is a sealed text of ours.
    """

    provider: str | None = None
    return_to: str | None = None
    prompt: str | None = None
    login_hint: str | None = None
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    ui_locales: str | None = None
    issuer: str | None = None
    resume: str | None = None


def read_wish(query: bytes | None) -> LoginWish:
    """Return the wish in the query of `GET /bff/login`; other parameters are ignored.

    Raises `Refused(LOGIN_PARAMETER)` for a known parameter that is repeated or breaks its grammar.
    """
    if query is None:
        return LoginWish()
    if len(query) > MAX_QUERY:
        raise _refused("the query is too long")
    try:
        found = read_parameters(query, _KNOWN)
    except UnreadableParameter as unreadable:
        raise _refused(str(unreadable)) from None
    return LoginWish(
        provider=_matching(found, "provider", _PROVIDER),
        return_to=found.get("return_to", found.get("target_link_uri")),
        issuer=found.get("iss"),
        prompt=_prompt(found.get("prompt")),
        login_hint=_login_hint(found.get("login_hint")),
        acr_values=tuple((_matching(found, "acr_values", _WORDS) or "").split()),
        max_age=_max_age(_matching(found, "max_age", _SECONDS)),
        ui_locales=_matching(found, "ui_locales", _LOCALES),
        resume=_matching(found, "resume", _RESUME, longest=MAX_QUERY),
    )


def authorization_url(
    metadata: Metadata,
    client: Client,
    attempt: LoginAttempt,
    wish: LoginWish,
    *,
    state: str,
    nonce: Nonce,
    challenge: str,
) -> str:
    """Return where to send the browser (Core section 3.1.2.1, RFC 7636 section 4.3).

    `challenge` is an S256 challenge; no other method exists. What the answer is checked for later
    (`max_age`, `acr_values`) comes from the attempt, not from the wish.

    Raises `Refused(PROVIDER_METADATA)` when the provider cannot do what we need, and
    `Refused(LOGIN_PARAMETER)` when `state` would be too long to be read back.
    """
    _require_abilities(metadata, client)
    if len(state) > MAX_STATE:
        raise _refused("the state would be too long")
    ours = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": " ".join(client.scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if "openid" in client.scopes:  # E6; a client of kind oidc always asks for it
        ours["nonce"] = nonce.reveal()
    if client.response_mode is ResponseMode.FORM_POST:
        ours["response_mode"] = client.response_mode.value
    optional = {
        "prompt": attempt.prompt,
        "max_age": None if attempt.max_age is None else str(attempt.max_age),
        "acr_values": " ".join(attempt.acr_values),
        "login_hint": wish.login_hint,
        "ui_locales": wish.ui_locales,
    }
    wished = {name: value for name, value in optional.items() if value}
    # Never twice. What the operator configured wins over what a link asks for (E14), and nothing
    # replaces ours: `Client` refuses the names that are ours alone.
    named = wished | dict(client.extra_parameters) | ours
    sent = {name: value for name, value in named.items() if value}
    return with_parameters(metadata.authorization_endpoint, sent.items())


def _require_abilities(metadata: Metadata, client: Client) -> None:
    if metadata.supports_s256 is False:
        raise Refused(Code.PROVIDER_METADATA, note="the provider does not support PKCE with S256")
    offered = metadata.response_modes
    wanted = client.response_mode
    if wanted is ResponseMode.FORM_POST and offered is not None and wanted.value not in offered:
        raise Refused(Code.PROVIDER_METADATA, note="the provider does not offer form_post")


def _matching(
    found: dict[str, str], name: str, grammar: re.Pattern[str], *, longest: int = _LONGEST_WORDS
) -> str | None:
    value = found.get(name)
    if value is not None and (len(value) > longest or not grammar.fullmatch(value)):
        raise _refused(f"{name} is not well formed")
    return value


def _prompt(value: str | None) -> str | None:
    if value is None:
        return None
    words = value.split(" ")
    # Core section 3.1.2.1: `none` beside anything else is an error.
    alone = "none" not in words or len(words) == 1
    if not alone or len(set(words)) != len(words) or not _PROMPTS.issuperset(words):
        raise _refused("prompt is not well formed")
    return value


def _login_hint(value: str | None) -> str | None:
    if value is not None and (len(value) > _LONGEST_HINT or not value.isprintable()):
        raise _refused("login_hint is not well formed")
    return value


def _max_age(value: str | None) -> int | None:
    if value is None:
        return None
    seconds = int(value)
    if seconds > MAX_AGE_LIMIT:
        raise _refused("max_age is too large")
    return seconds


def _refused(note: str) -> Refused:
    return Refused(Code.LOGIN_PARAMETER, "A parameter of the login is not valid.", note=note)
