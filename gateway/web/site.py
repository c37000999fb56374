"""What the web layer knows about the site it serves."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.edge.cookies import CookiePolicy
from gateway.edge.forwarded import ForwardedPolicy
from gateway.edge.host import PublicOrigin

BASE = "/bff"


class ErrorsTo(StrEnum):
    """Where a person lands when the provider refuses a login."""

    PAGE = "page"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Site:
    """The one origin browsers use, and how its cookies and addresses are read."""

    origin: PublicOrigin
    accepted_hosts: frozenset[str]
    cookies: CookiePolicy
    forwarded: ForwardedPolicy
    login_cookie_age: int  # seconds
    errors_to: ErrorsTo = ErrorsTo.PAGE

    @property
    def authority(self) -> bytes:
        """Host and port as browsers write them in the Host field."""
        return self.origin.wire_authority
