"""The provider's few pages: plain HTML with one style, and nothing from elsewhere.

The content security policy allows the hashes of that style and of the one script, no more.
"""

import hashlib
from base64 import b64encode
from collections.abc import Container, Iterable
from html import escape
from urllib.parse import urlsplit

from starlette.responses import Response

from gateway.dev.accounts import Account, DevClient, DevProviderSettings
from gateway.dev.records import Login

_STYLE = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5a6678; --line: #d8dee8;
  --paper: #f3f5f9; --card: #fff; --main: #2456b3; --tint: #eaf1fd; --warn: #7a4a00;
  --warn-paper: #fff3d6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ebf3; --soft: #9ba7ba; --line: #2c3543; --paper: #10141b; --card: #181e28;
    --main: #8ab4ff; --tint: #1d2a40; --warn: #ffd584; --warn-paper: #33280f } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif }
.banner { margin: 0; padding: .6rem 1rem; background: var(--warn-paper); color: var(--warn);
  text-align: center; font-size: .875rem }
main { max-width: 30rem; margin: 0 auto; padding: 2.5rem 1rem 4rem }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.25; letter-spacing: -.01em }
p { margin: .5rem 0 }
.soft { color: var(--soft) }
.small { font-size: .875rem }
form { display: grid; gap: .6rem; margin: 1.5rem 0 1rem }
button, a.button { font: inherit; color: inherit; border-radius: 12px; cursor: pointer;
  border: 1px solid var(--line); background: var(--card); padding: .7rem 1rem;
  text-align: center; text-decoration: none }
button:hover, a.button:hover { border-color: var(--main) }
:focus-visible { outline: 3px solid var(--main); outline-offset: 2px }
button.person { display: grid; grid-template-columns: 3rem 1fr; gap: 0 .9rem; text-align: left;
  align-items: center; padding: .85rem 1rem }
button.person:hover, button.hinted { background: var(--tint); border-color: var(--main) }
.face { grid-row: span 3; width: 3rem; height: 3rem; border-radius: 50%; display: grid;
  place-items: center; background: var(--tint); color: var(--main); font-weight: 600 }
.hinted .face, button.person:hover .face { background: var(--card) }
.name { font-weight: 600 }
.detail { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere }
button.main { background: var(--main); border-color: var(--main); color: var(--card);
  font-weight: 600 }
button.plain { background: none; border-color: transparent; color: var(--soft) }
button.plain:hover { color: var(--ink); border-color: var(--line) }
code { font: .875em ui-monospace, "SF Mono", Menlo, monospace; overflow-wrap: anywhere }
ul { padding-left: 1.2rem }
a { color: var(--main) }
p a.button { display: inline-block; margin-top: .75rem }
"""
_SUBMIT = "document.forms[0].submit()"
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%232456b3'/%3E"
    "%3Ccircle cx='8' cy='6' r='2.6' fill='white'/%3E"
    "%3Cpath d='M3 13a5 4.2 0 0110 0z' fill='white'/%3E%3C/svg%3E"
)


def _hash(text: str) -> str:
    return "'sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SUBMIT)}; "
    "img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


def login_page(
    settings: DevProviderSettings, client_id: str, scope: str, ticket: str, hint: str | None
) -> str:
    """Return the page with one button per test user; a hinted one comes first."""
    accounts = sorted(settings.accounts, key=lambda account: not _is_hinted(account, hint))
    buttons = "".join(_person(account, hinted=_is_hinted(account, hint)) for account in accounts)
    scopes = " ".join(f"<code>{escape(one)}</code>" for one in scope.split())
    return _page(
        "Log in",
        f'<p class="soft">to continue to <strong>{escape(client_id)}</strong></p>'
        f'<form method="post" action="/login">{_hidden([("ticket", ticket)])}{buttons}'
        '<button class="plain" name="deny" value="1">Deny and go back</button></form>'
        f'<p class="soft small">The app asks for: {scopes}</p>',
    )


def form_post_page(redirect_uri: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return the page that posts the answer to the client (OAuth 2.0 Form Post Response Mode)."""
    return _page(
        "One moment …",
        f'<form method="post" action="{escape(redirect_uri)}">{_hidden(pairs)}'
        '<noscript><button class="main">Continue</button></noscript></form>'
        f"<script>{_SUBMIT}</script>",
    )


def confirm_logout_page(login: Login, ticket: str) -> str:
    """Return the question that a logout without proof has to ask (RP-Initiated Logout 2)."""
    return _page(
        "Log out?",
        f'<p class="soft">You are logged in here as <strong>{escape(login.account.name)}</strong>.'
        '</p><form method="post" action="/logout/confirm">'
        f'{_hidden([("ticket", ticket)])}<button class="main">Log out</button>'
        '<button class="plain" name="stay" value="1">Stay logged in</button></form>',
    )


def logged_out_page() -> str:
    """Return the page after a logout that leads nowhere else."""
    return _page(
        "You are logged out",
        '<p class="soft">The login at this identity provider is over. You may close this page.</p>',
    )


def home_page(settings: DevProviderSettings, login: Login | None, clients: Container[str]) -> str:
    """Return what a person sees who opens the provider itself."""
    discovery = f"{settings.issuer}/.well-known/openid-configuration"
    link = (
        f'<p class="small"><a href="{escape(discovery)}"><code>{escape(discovery)}</code></a></p>'
    )
    if login is None:
        body = '<p class="soft">Nobody is logged in. Logins start in an application.</p>'
        return _page("Identity provider", body + link)
    apps = "".join(_use(client) for client in _with_a_home(settings) if client.client_id in clients)
    return _page(
        f"Logged in as {login.account.name}",
        f'<p class="soft">{escape(login.account.email)}</p><p>Used by:</p><ul>{apps}</ul>'
        '<form method="get" action="/logout"><button class="main">Log out here</button>'
        f"</form>{link}",
    )


def error_page(settings: DevProviderSettings, title: str, words: str) -> str:
    """Return a page about a request that must not be answered by a redirect."""
    ways_back = "".join(
        f'<p><a class="button" href="{escape(_home_of(client))}">'
        f"Back to {escape(client.client_id)}</a></p>"
        for client in _with_a_home(settings)
    )
    return _page(title, f"<p>{escape(words)}</p>{ways_back}")


def respond(page: str, status: int = 200, *, form_target: str | None = None) -> Response:
    """Return the page as a response. `form_target` is the client a form here may lead to.

    Browsers hold redirects after a form to the policy's `form-action` as well, so the client's
    origin has to stand there.
    """
    policy = _POLICY
    if form_target is not None:
        parts = urlsplit(form_target)
        policy += f" {parts.scheme}://{parts.netloc}"
    response = Response(page, status, media_type="text/html")
    response.headers["cache-control"] = "no-store"
    response.headers["content-security-policy"] = policy
    response.headers["referrer-policy"] = "same-origin"  # `no-referrer` would hide our own Origin
    response.headers["x-content-type-options"] = "nosniff"
    response.headers["x-frame-options"] = "DENY"
    return response


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="{_ICON}">'
        f"<style>{_STYLE}</style></head><body>"
        '<p class="banner" role="note"><strong>Development identity provider:</strong> '
        "anyone can log in as anyone.</p>"
        f"<main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _person(account: Account, *, hinted: bool) -> str:
    initials = "".join(word[0] for word in account.name.split() if word[0].isupper())[:2]
    may = ", ".join(account.scopes) or "no API scopes"
    marks = ' hinted" autofocus' if hinted else '"'
    return (
        f'<button class="person{marks} name="account" value="{escape(account.username)}">'
        f'<span class="face" aria-hidden="true">{escape(initials)}</span>'
        f'<span class="name">{escape(account.name)}</span>'
        f'<span class="detail">{escape(account.email)}</span>'
        f'<span class="detail">{escape(account.role or may)}</span></button>'
    )


def _use(client: DevClient) -> str:
    note = (
        "is told when you log out here"
        if client.backchannel_logout_uri
        else "keeps its own session when you log out here"
    )
    return (
        f'<li><a href="{escape(_home_of(client))}">{escape(client.client_id)}</a> '
        f'<span class="soft small">{note}</span></li>'
    )


def _with_a_home(settings: DevProviderSettings) -> list[DevClient]:
    return [client for client in settings.clients if client.redirect_uris]


def _home_of(client: DevClient) -> str:
    parts = urlsplit(client.redirect_uris[0])
    return f"{parts.scheme}://{parts.netloc}/"


def _is_hinted(account: Account, hint: str | None) -> bool:
    return hint is not None and hint.lower() in (account.username, account.email, account.sub)


def _hidden(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in pairs
    )
