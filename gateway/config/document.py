"""The whole configuration file, as one model."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from gateway.config.provider_section import ProviderSection
from gateway.config.route_section import RouteSection
from gateway.config.section import Line, Section
from gateway.config.sections import (
    FIXED_COOKIE,
    AdminSection,
    BackChannelSection,
    KeySection,
    LimitsSection,
    ListenSection,
    LoginSection,
    LogSection,
    SessionSection,
    StoreSection,
)


class Basics(Section):
    """The keys at the top that are no sections."""

    explained: ClassVar[Mapping[str, str]] = dict.fromkeys(("cookie", "cookies"), FIXED_COOKIE) | {
        "base_path": "the gateway's own endpoints are always below /bff; remove this",
    }

    public_origin: Line = Field(
        description="The one origin browsers use: `https://HOST[:PORT]`, or `http://localhost"
        "[:PORT]` on a developer's machine. Redirects, cookies and cross-site checks follow it, "
        "never the Host field.",
        examples=["https://app.example.com"],
    )
    trusted_proxies: list[Line] = Field(
        default_factory=list,
        description="Networks whose `X-Forwarded-For` (or `Forwarded`) is believed. Everybody "
        "else's is thrown away.",
    )
    dangerously_allow_insecure_cookies: bool = Field(
        default=False,
        description="Cookies without Secure and without the `__Host-Http-` prefix, for Safari on "
        "`http://localhost`. Refused with any other origin.",
    )
    dangerously_trust_all_proxies: bool = Field(
        default=False,
        description="Allows networks in `trusted_proxies` that hold the whole internet. Whoever "
        "reaches the gateway can then claim any client address.",
    )


class Document(Basics):
    """The gateway's configuration file."""

    listen: ListenSection = Field(
        default_factory=ListenSection, description="The public listener, for browsers."
    )
    admin: AdminSection = Field(
        default_factory=AdminSection,
        description="The operators' listener: `/livez`, `/readyz`, `/metrics`.",
    )
    store: StoreSection = Field(description="Where sealed sessions are kept.")
    keys: list[KeySection] = Field(
        description="The key ring: the first key seals, all of them open. To rotate, put a new "
        "key first and keep the old one until every session sealed under it has ended."
    )
    session: SessionSection = Field(
        default_factory=SessionSection, description="How long sessions live."
    )
    login: LoginSection = Field(default_factory=LoginSection, description="How logins go.")
    limits: LimitsSection = Field(
        default_factory=LimitsSection, description="How large requests may be."
    )
    back_channel: BackChannelSection = Field(
        default_factory=BackChannelSection,
        description="Requests from the gateway to identity providers.",
    )
    log: LogSection = Field(default_factory=LogSection, description="What is logged, and how.")
    providers: dict[str, ProviderSection] = Field(
        description="Identity providers by name (`a` to `z`, digits, hyphens). The first is the "
        "default; the name is part of the callback URL.",
        json_schema_extra={"propertyNames": {"pattern": "^[a-z0-9-]{1,32}$"}},
    )
    routes: list[RouteSection] = Field(
        description="Which paths go where. A path without a rule is answered 404."
    )
