"""What an endpoint is handed: the request, its parsed target, its body and who is asking."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.edge.cookies import read_cookie
from gateway.edge.messages import Body, BrowserRequest
from gateway.edge.target import Target
from gateway.errors import Code, Refused
from gateway.ports import Caller
from gateway.web.site import Site

_MAX_FORM = 64 * 1024  # octets; an authorization response is a few hundred


@dataclass(frozen=True, slots=True)
class Asking:
    """One request to an endpoint, past the checks every request goes through."""

    request: BrowserRequest
    target: Target
    body: Body | None
    caller: Caller
    site: Site

    def session_cookie(self) -> str | None:
        """Return the session cookie's value. Call it after the cross-site check, never before."""
        return read_cookie(self.request, self.site.cookies.session_name)

    def login_cookie(self) -> str | None:
        """Return the login cookie's value."""
        return read_cookie(self.request, self.site.cookies.login_name)

    async def form(self) -> bytes:
        """Return a small form body; raises `Refused(BODY_MALFORMED | BODY_TOO_LARGE)`."""
        content_type = self.request.only(b"content-type") or b""
        if content_type.split(b";")[0].strip().lower() != b"application/x-www-form-urlencoded":
            raise Refused(Code.BODY_MALFORMED, "Send a form.")
        octets = bytearray()
        if self.body is not None:
            async for piece in self.body:
                octets += piece
                if len(octets) > _MAX_FORM:
                    raise Refused(Code.BODY_TOO_LARGE)
        return bytes(octets)


def query_value(target: Target, name: str) -> str | None:
    """Return a query parameter that occurs at most once; `Refused(LOGIN_PARAMETER)` otherwise."""
    try:
        pairs = parse_qsl(
            (target.query or b"").decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=50,
        )
    except ValueError:
        raise Refused(Code.LOGIN_PARAMETER) from None
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise Refused(Code.LOGIN_PARAMETER, "A parameter occurs twice.")
    return values[0] if values else None
