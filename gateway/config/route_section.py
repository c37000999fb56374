"""The keys of one route."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config.section import Line
from gateway.config.upstream_section import UpstreamKeys
from gateway.config.values import Choice
from gateway.edge.routes import Access, TokenKind

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; "
    "frame-ancestors 'none'"
)

_LATER = "is not available in this version; use user or none"

MethodName = Annotated[
    str,
    Choice(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        {
            "options": "OPTIONS is answered by the gateway itself: there is one origin, no CORS",
            "trace": "TRACE would show an upstream's view of the token; it is never passed on",
            "connect": "CONNECT would open a tunnel; it is never passed on",
        },
    ),
]


class RouteSection(UpstreamKeys):
    """One rule: which requests go where, and who may send them."""

    explained: ClassVar[Mapping[str, str]] = {
        "strip_path": "the upstream's path always takes the place of the route's path",
        "strip_prefix": "the upstream's path always takes the place of the route's path",
        "prefix": "is called path",
        "target": "is called upstream",
        "auth": "is called access: session, optional or public",
    }

    path: Line = Field(
        description="The route covers this path and everything below it. The longest path wins. "
        "Plain: no `%`, no dot segments, no `//`.",
        examples=["/api/example/"],
    )
    static: Line | None = Field(
        default=None,
        description="A directory with a built app, relative to the configuration file; addresses "
        "inside the app get its `index.html`.",
    )
    access: Annotated[str | None, Choice(tuple(Access))] = Field(
        default=None,
        description="`session`: only with a session. `optional`: with or without. `public`: no "
        "session is looked at. Upstream routes default to `session`; static ones are `public`.",
    )
    token: Annotated[
        str | None,
        Choice(
            tuple(TokenKind),
            {"client": f"client {_LATER}", "exchange": f"exchange {_LATER}"},
        ),
    ] = Field(
        default=None,
        description="`user`: the upstream gets the person's access token. `none`: it gets no "
        "token. Defaults to `user`, on public routes to `none`.",
    )
    scopes: list[Line] = Field(
        default_factory=list,
        description="Scopes the session's token must have, else 403; only with `access: session`.",
    )
    methods: list[MethodName] | None = Field(
        default=None,
        description="The methods passed on; HEAD comes with GET. Unless set: GET, POST, PUT, PATCH "
        "and DELETE. Static routes have GET only.",
    )
    pass_cookies: list[Line] = Field(
        default_factory=list,
        description="Names of the browser's cookies that the upstream gets to see.",
    )
    pass_set_cookies: list[Line] = Field(
        default_factory=list, description="Names of cookies that the upstream may set."
    )
    content_security_policy: Line = Field(
        default=CONTENT_SECURITY_POLICY,
        description="The Content-Security-Policy of the app's pages; only for `static`.",
    )
