"""The gateway's own endpoints: name → allowed methods, cross-site guard, handler.

A handler runs after the checks in `dispatch`; the guard has been applied before any cookie is
read. What a handler refuses is turned into an answer by the pipeline.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.messages import Reply
from gateway.edge.routes import method_not_allowed
from gateway.errors import Code, Refused
from gateway.web.account import Account
from gateway.web.asking import Asking
from gateway.web.provider_logout import ProviderCalls
from gateway.web.signing_in import SigningIn

Handler = Callable[[Asking, str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One method of one endpoint."""

    guard: Guard
    handler: Handler


class Endpoints:
    """The table of endpoints below `/bff`; a name ending in `/` takes one more segment."""

    def __init__(self, signing_in: SigningIn, account: Account, calls: ProviderCalls) -> None:
        self._table: dict[str, dict[str, Entry]] = {
            "login": {"GET": Entry(Guard.NAVIGATION, signing_in.login)},
            "callback/": {
                "GET": Entry(Guard.NONE, signing_in.callback),
                "POST": Entry(Guard.NONE, signing_in.callback),
            },
            "session": {"GET": Entry(Guard.COOKIE, account.session)},
            "sessions": {
                "GET": Entry(Guard.COOKIE, account.sessions),
                "DELETE": Entry(Guard.COOKIE, account.end_others),
            },
            "sessions/": {"DELETE": Entry(Guard.COOKIE, account.end_one)},
            "logout": {"POST": Entry(Guard.FORM_LOGOUT, account.logout)},
            "logged-out": {"GET": Entry(Guard.NONE, account.logged_out)},
            "backchannel-logout/": {"POST": Entry(Guard.NONE, calls.back_channel)},
            "frontchannel-logout/": {"GET": Entry(Guard.NONE, calls.front_channel)},
        }

    def paths(self) -> dict[str, list[str]]:
        """Return the endpoints and their methods, for the documentation's test."""
        return {name: sorted(methods) for name, methods in self._table.items()}

    async def dispatch(self, name: str, asking: Asking) -> Reply:
        """Answer, or raise `Refused(ROUTE_NOT_FOUND | METHOD_NOT_ALLOWED | …)`."""
        head, slash, parameter = name.partition("/")
        methods = self._table.get(head + slash)
        if methods is None or (slash and (not parameter or "/" in parameter)):
            raise Refused(Code.ROUTE_NOT_FOUND)
        method = asking.request.method
        entry = methods.get(method)
        if entry is None:
            raise method_not_allowed(sorted(methods))
        refuse_cross_site(asking.request, asking.site.origin, entry.guard)
        return await entry.handler(asking, parameter)
