"""The few pages the gateway makes itself: no script, nothing from elsewhere, nothing reflected."""

from html import escape

HTML = b"text/html; charset=utf-8"

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee6;
  --paper: #f6f7f9; --card: #fff; --main: #1f5fbf }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf2; --soft: #9aa6b6; --line: #2d3642;
    --paper: #12161c; --card: #1a2029; --main: #7fb0ff } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 30rem; margin: 1.5rem; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 12px }
h1 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .75rem }
a { color: var(--main); margin-right: 1rem }
a.main { display: inline-block; padding: .5rem 1.1rem; border-radius: 8px;
  background: var(--main); color: var(--card); text-decoration: none }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem .8rem; margin: 1.5rem 0 0;
  color: var(--soft); font-size: .85rem }
dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere }
"""


def page(title: str, body: str, head: str = "") -> bytes:
    """Return a whole document; `body` and `head` are HTML, `title` is text."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>{head}<style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    ).encode()


def hop(path: str) -> bytes:
    """Return a page that goes to `path` at once, as a navigation that starts on our own site.

    The provider's redirect makes the callback a cross-site navigation, on which a Strict cookie
    does not travel (6265bis section 8.8.2). This page is ours, so what follows it is same-site
    and the first request of the application carries the session (B5). No script is involved.
    """
    target = escape(path, quote=True)
    return page(
        "One moment …",
        f'<p><a href="{target}">Continue</a></p>',
        f'<meta http-equiv="refresh" content="0;url={target}">',
    )
