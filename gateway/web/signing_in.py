"""`/bff/login` and `/bff/callback/{provider}`: the browser's side of a login."""

from urllib.parse import urlencode

from gateway.edge import cookies
from gateway.edge.headers import page_fields
from gateway.edge.messages import Field, Fields, Reply
from gateway.edge.return_to import check_return_to
from gateway.edge.routes import Access, Route, RouteTable
from gateway.edge.target import parse_target
from gateway.errors import Code, Refused
from gateway.oidc.attempt import LoginAttempt
from gateway.oidc.authorization import LoginWish, read_wish
from gateway.session.attempts import StateRefused
from gateway.session.establishing import LoginOvertaken
from gateway.session.login import Login, LoginDenied
from gateway.session.manager import Sessions
from gateway.web import pages
from gateway.web.asking import Asking
from gateway.web.problems import LoginAgain
from gateway.web.site import BASE, ErrorsTo, Site


class SigningIn:
    """Starts and finishes logins."""

    def __init__(self, site: Site, routes: RouteTable, login: Login, sessions: Sessions) -> None:
        self._site = site
        self._routes = routes
        self._login = login
        self._sessions = sessions

    async def login(self, asking: Asking, _: str) -> Reply:
        """`GET /bff/login`: send the browser to the provider."""
        wish = read_wish(asking.target.query)
        if wish.resume is not None:
            return await self._resume(asking, wish)
        home = self._login.policy.default_return_to
        return_to = str(check_return_to(wish.return_to or home, self._site.origin))
        if not self._may_return_to(asking, return_to):
            return_to = home
        return await self._start(asking, wish, return_to, restarts=0)

    def _may_return_to(self, asking: Asking, return_to: str) -> bool:
        """Whether this request may choose where the browser goes with its session afterwards.

        After the login the target is loaded as a request of our own site, with the session. A link
        on another site could so make a request that the cross-site check refuses when it comes
        directly (C4). Strangers may lead to the application and to public routes only.
        """
        if asking.request.only(b"sec-fetch-site") in (b"same-origin", b"none"):
            return True
        path = return_to.partition("#")[0].encode("ascii")
        try:
            route = self._routes.match(parse_target(path, authority_expected=b""))
        except Refused:
            return False
        return isinstance(route, Route) and route.access is Access.PUBLIC

    async def _resume(self, asking: Asking, wish: LoginWish) -> Reply:
        """Go on after a state that did not fit: to the application, or to one more attempt.

        This request comes from our own hop page, so it carries the Strict session cookie that the
        callback could not see.
        """
        resumption = self._login.attempts.resume(wish.resume or "")
        attempt = resumption.attempt
        binding = self._sessions.ring.read_binding(asking.login_cookie())
        return_to = self._safe(attempt.return_to)
        is_ours = self._login.is_of_browser(resumption, binding)
        if not (is_ours and self._may_return_to(asking, return_to)):
            return_to = self._login.policy.default_return_to  # a stranger's own, sent as a link
        if await self._sessions.open(asking.session_cookie(), extend=False) is not None:
            return self._redirect(return_to)
        if not await self._login.may_restart(resumption, binding):
            raise LoginAgain(resumption.code, _login_url(attempt, return_to))
        again = LoginWish(
            provider=attempt.provider,
            prompt=attempt.prompt,
            max_age=attempt.max_age,
            acr_values=attempt.acr_values,
        )
        return await self._start(asking, again, return_to, restarts=attempt.restarts + 1)

    async def _start(
        self, asking: Asking, wish: LoginWish, return_to: str, *, restarts: int
    ) -> Reply:
        binding = self._sessions.ring.read_binding(asking.login_cookie())
        started = await self._login.start(
            wish, return_to, binding, asking.caller, restarts=restarts
        )
        cookie = cookies.login_cookie(
            self._site.cookies, started.binding.reveal(), self._site.login_cookie_age
        )
        return self._redirect(started.url, cookie)

    async def callback(self, asking: Asking, provider: str) -> Reply:
        """`GET, POST /bff/callback/{provider}`: finish the login, then hop to the application."""
        posted = asking.request.method == "POST"
        parameters = await asking.form() if posted else asking.target.query or b""
        binding = self._sessions.ring.read_binding(asking.login_cookie())
        try:
            finished = await self._login.complete(provider, parameters, binding, asking.caller)
        except StateRefused as refusal:
            return self._hop(f"{BASE}/login?" + urlencode({"resume": refusal.resume}))
        except LoginDenied as denial:
            return_to = self._safe(denial.attempt.return_to)
            if denial.is_silent or self._site.errors_to is ErrorsTo.APP:
                return self._hop(_with_error(return_to, denial.error))
            again = _login_url(denial.attempt, return_to)
            words = _DENIALS.get(denial.error, "")
            raise LoginAgain(Code.PROVIDER_ERROR, again, words) from denial
        except LoginOvertaken as overtaken:
            again = _login_url(overtaken.attempt, self._safe(overtaken.attempt.return_to))
            words = _LEFT if overtaken.in_browser else ""
            raise LoginAgain(Code.LOGIN_OVERTAKEN, again, words) from overtaken
        cookie = cookies.session_cookie(self._site.cookies, finished.cookie)
        return self._hop(self._safe(finished.return_to), cookie)

    def _safe(self, return_to: str) -> str:
        """Check a target again where it is used (E13): what was sealed then may be unsafe now."""
        try:
            return str(check_return_to(return_to, self._site.origin))
        except Refused:
            return self._login.policy.default_return_to

    def _redirect(self, location: str, *more: Field) -> Reply:
        fields: Fields = ((b"location", location.encode()), *self._page_fields(), *more)
        return Reply(303, fields)

    def _hop(self, path: str, *more: Field) -> Reply:
        fields: Fields = ((b"content-type", pages.HTML), *self._page_fields(), *more)
        return Reply(200, fields, pages.hop(path))

    def _page_fields(self) -> Fields:
        return page_fields(secure=self._site.origin.is_secure)


_LEFT = "You logged out in this browser while this login was under way."
_DENIALS = {
    "access_denied": "You, or the identity provider, declined the login.",
    "login_required": "The identity provider wants you to log in again.",
    "consent_required": "The identity provider wants your consent first.",
    "interaction_required": "The identity provider wants to ask you something first.",
    "account_selection_required": "The identity provider wants you to choose an account.",
    "temporarily_unavailable": "The identity provider is busy. Please try again in a moment.",
    "server_error": "The identity provider had a problem. Please try again in a moment.",
}


def _login_url(attempt: LoginAttempt, return_to: str) -> str:
    """Return where this login begins again, with all that it was asked to be (G11, G12)."""
    wish = {
        "provider": attempt.provider,
        "return_to": return_to,
        "prompt": attempt.prompt if attempt.prompt != "none" else None,
        "max_age": attempt.max_age,
        "acr_values": " ".join(attempt.acr_values),
    }
    given = {name: value for name, value in wish.items() if value not in (None, "")}
    return f"{BASE}/login?{urlencode(given)}"


def _with_error(return_to: str, error: str) -> str:
    """Tell the application by a query parameter; `error` is one of a fixed set (E11)."""
    path, mark, fragment = return_to.partition("#")
    joint = "&" if "?" in path else "?"
    return f"{path}{joint}{urlencode({'auth_error': error})}{mark}{fragment}"
