"""The one table from code to status and words, and how a failure looks to a script and a person.

Scripts get RFC 9457 problem documents; a navigation gets a small page without scripts. Neither
repeats anything the request contained.
"""

import json
from dataclasses import dataclass
from html import escape

from gateway.edge.headers import page_fields
from gateway.edge.messages import BrowserRequest, Field, Fields, Reply
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.web import pages


@dataclass(frozen=True, slots=True)
class Problem:
    """What one code means: its status and a title a person can act on."""

    status: int
    title: str
    advice: str = ""


_LOG_IN = "Log in again."
_TRY_AGAIN = "Nothing is lost. Please try again in a moment."
_START_OVER = "Start the login again from the application."
_OPERATOR = "If it happens again, tell the people who run this site the request id below."

PROBLEMS: dict[Code, Problem] = {
    Code.REQUEST_MALFORMED: Problem(400, "This is not well-formed HTTP"),
    Code.REQUEST_TIMEOUT: Problem(408, "The request took too long to arrive", _TRY_AGAIN),
    Code.VERSION_UNSUPPORTED: Problem(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here"),
    Code.TARGET_MALFORMED: Problem(400, "The address is not well formed"),
    Code.TARGET_AMBIGUOUS: Problem(400, "The address can be read in two ways"),
    Code.TARGET_TOO_LONG: Problem(414, "The address is too long"),
    Code.HOST_MALFORMED: Problem(400, "The Host field is missing or not well formed"),
    Code.HOST_MISDIRECTED: Problem(421, "This server does not answer for that host"),
    Code.FIELD_MALFORMED: Problem(400, "A header field is not well formed"),
    Code.FIELDS_TOO_LARGE: Problem(431, "The header fields are too large"),
    Code.BODY_TOO_LARGE: Problem(413, "The body is too large"),
    Code.BODY_MALFORMED: Problem(400, "The body is not what this endpoint reads"),
    Code.CODING_UNSUPPORTED: Problem(501, "This transfer coding is not supported"),
    Code.EXPECTATION_FAILED: Problem(417, "This expectation cannot be met"),
    Code.METHOD_NOT_ALLOWED: Problem(405, "This method is not allowed here"),
    Code.METHOD_NOT_IMPLEMENTED: Problem(501, "This method is not supported"),
    Code.UPGRADE_REFUSED: Problem(501, "This connection cannot be upgraded"),
    Code.WEBSOCKET_MALFORMED: Problem(400, "The WebSocket handshake is not well formed"),
    Code.WEBSOCKET_VERSION: Problem(426, "This version of WebSocket is not spoken"),
    Code.GRPC_NATIVE: Problem(
        415, "Native gRPC does not pass through a browser's connection", "Use gRPC-Web."
    ),
    Code.ROUTE_NOT_FOUND: Problem(404, "There is nothing at this address"),
    Code.STATIC_NOT_FOUND: Problem(404, "There is no such file"),
    Code.RANGE_UNSATISFIABLE: Problem(416, "The file is shorter than that"),
    Code.LOOP_DETECTED: Problem(508, "The request runs in a circle", _OPERATOR),
    Code.CONNECTION_LIMIT: Problem(503, "Too many connections are open", _TRY_AGAIN),
    Code.CSRF_MISSING: Problem(403, "The X-CSRF header is missing", "Send the header X-CSRF: 1."),
    Code.CSRF_CROSS_SITE: Problem(
        403, "Another site may not make this request", "Open the application itself."
    ),
    Code.CSRF_ORIGIN: Problem(403, "The request comes from another origin"),
    Code.TOKEN_IN_REQUEST: Problem(
        400,
        "Access tokens do not belong in a request from the browser",
        "Remove it: the gateway adds the token itself.",
    ),
    Code.TOKEN_EXPIRED: Problem(401, "The access to the API has run out", _LOG_IN),
    Code.SCOPE_INSUFFICIENT: Problem(403, "The login does not cover this API"),
    Code.SESSION_REQUIRED: Problem(401, "Please log in", _LOG_IN),
    Code.SESSION_AMBIGUOUS: Problem(
        401, "The browser sent two session cookies", "Clear this site's cookies and log in again."
    ),
    Code.SESSION_ENDED: Problem(401, "The session has ended", _LOG_IN),
    Code.SESSION_NOT_FOUND: Problem(404, "There is no such session"),
    Code.SESSION_TOO_LARGE: Problem(
        502, "The identity provider's answer is more than a session can hold", _OPERATOR
    ),
    Code.LOGIN_NAVIGATION_ONLY: Problem(
        403, "A login starts by opening its page", "Navigate to it instead of fetching it."
    ),
    Code.LOGIN_PARAMETER: Problem(400, "A login parameter is not valid"),
    Code.LOGIN_RETURN_TO: Problem(
        400, "The address to return to is not part of this application", _START_OVER
    ),
    Code.LOGIN_PROVIDER_UNKNOWN: Problem(404, "There is no such identity provider"),
    Code.LOGIN_OVERTAKEN: Problem(
        403, "You have just been logged out", "Log in again if that was not meant."
    ),
    Code.CALLBACK_MALFORMED: Problem(400, "The login answer is not well formed", _START_OVER),
    Code.CALLBACK_ISSUER: Problem(
        400, "The login answer comes from another identity provider", _START_OVER
    ),
    Code.STATE_UNKNOWN: Problem(
        400,
        "This login was not started in this browser",
        "Allow cookies for this site if they are blocked, then log in again.",
    ),
    Code.STATE_EXPIRED: Problem(400, "The login took too long", _START_OVER),
    Code.STATE_REPLAYED: Problem(400, "This login has already been used", _START_OVER),
    Code.PROVIDER_ERROR: Problem(403, "The identity provider did not log you in", _START_OVER),
    Code.TOKEN_RESPONSE_INVALID: Problem(
        502, "The identity provider's answer is not valid", _OPERATOR
    ),
    Code.TOKEN_GRANT_REFUSED: Problem(
        502, "The identity provider refused to finish the login", _START_OVER
    ),
    Code.TOKEN_TYPE_UNSUPPORTED: Problem(
        502, "The identity provider issued an unknown kind of token", _OPERATOR
    ),
    Code.LOGOUT_TOKEN_MISSING: Problem(400, "The form holds no logout token, or several"),
    Code.LOGOUT_TOKEN_MALFORMED: Problem(400, "This is no logout token"),
    Code.LOGOUT_TOKEN_SIGNATURE: Problem(400, "The logout token's signature does not hold"),
    Code.LOGOUT_TOKEN_CLAIMS: Problem(400, "The logout token's claims are not valid"),
    Code.LOGOUT_TOKEN_REPLAYED: Problem(400, "The logout token has been used before"),
    Code.LOGOUT_TOO_MANY: Problem(429, "Too many requests from this address have failed"),
    Code.USERINFO_INVALID: Problem(502, "The identity provider's user data is not valid"),
    Code.ADMIN_FROM_PAGE: Problem(
        403, "Web pages may not administrate", "Use a program that is no browser, such as curl."
    ),
    Code.ADMIN_TOKEN: Problem(
        401, "The operator's token is missing or wrong", "Send Authorization: Bearer TOKEN."
    ),
    Code.ADMIN_NOT_CONFIGURED: Problem(
        403,
        "Administration is switched off on a listener that others can reach",
        "Set admin.token, or let the admin listener be on 127.0.0.1.",
    ),
    Code.ADMIN_SELECTOR: Problem(400, "The request does not say clearly whose sessions are meant"),
    Code.ADMIN_NO_WORKER: Problem(
        503,
        "No worker has answered",
        "It may have been done in part, or be under way still; asking again does no harm.",
    ),
    Code.PROVIDER_METADATA: Problem(
        502, "The identity provider's published settings are not valid", _OPERATOR
    ),
    Code.PROVIDER_UNAVAILABLE: Problem(503, "The identity provider does not answer", _TRY_AGAIN),
    Code.TOKEN_UNAVAILABLE: Problem(503, "A fresh access token cannot be had just now", _TRY_AGAIN),
    Code.STORE_UNAVAILABLE: Problem(503, "The session store does not answer", _TRY_AGAIN),
    Code.UPSTREAM_CONNECT: Problem(502, "The API cannot be reached", _TRY_AGAIN),
    Code.UPSTREAM_TIMEOUT: Problem(504, "The API did not answer in time", _TRY_AGAIN),
    Code.UPSTREAM_PROTOCOL: Problem(502, "The API's answer is not valid HTTP", _OPERATOR),
    Code.UPSTREAM_OVERLOADED: Problem(503, "The API is busy", _TRY_AGAIN),
    Code.INTERNAL: Problem(500, "Something went wrong in the gateway", _OPERATOR),
} | {
    code: Problem(502, "The identity provider's ID token is not valid", _OPERATOR)
    for code in Code
    if code.value.startswith("id_token.")
}


class LoginAgain(Refused):
    """A login that ended on a page of ours; `login_url` begins it again as it was wished for."""

    def __init__(self, code: Code, login_url: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.login_url = login_url


def wants_page(request: BrowserRequest) -> bool:
    """Whether a person looks at the answer: a navigation, or an old browser asking for HTML."""
    mode = request.only(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return any(b"text/html" in accept for accept in request.values(b"accept"))


def json_reply(status: int, members: dict[str, object], *more: Field, secure: bool) -> Reply:
    """Return a JSON answer that no cache keeps."""
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    fields = ((b"content-type", b"application/json"), *page_fields(secure=secure), *more)
    return Reply(status, fields, body)


def describe(
    failure: GatewayError,
    request: BrowserRequest,
    *,
    request_id: str,
    secure: bool,
    login_url: str | None = None,
    more: Fields = (),
) -> Reply:
    """Return the answer to a failure, for a script or for a person."""
    problem = PROBLEMS[failure.code]
    retry: Fields = ()
    if isinstance(failure, Unavailable):
        retry = ((b"retry-after", str(failure.retry_after).encode()),)
    common = (*page_fields(secure=secure), *retry, *more)
    if wants_page(request):
        page = _page(failure, problem, request_id, login_url)
        return Reply(problem.status, ((b"content-type", pages.HTML), *common), page)
    members: dict[str, object] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": failure.code.value,
        "request_id": request_id,
    }
    if failure.detail or problem.advice:
        members["detail"] = failure.detail or problem.advice
    if login_url is not None:
        members["login_url"] = login_url
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    content = (b"content-type", b"application/problem+json")
    return Reply(problem.status, (content, *common), body)


def _page(failure: GatewayError, problem: Problem, request_id: str, login_url: str | None) -> bytes:
    words = escape(failure.detail or problem.advice)
    links = '<a href="/">Back to the application</a>'
    if login_url is not None:
        links = f'<a class="main" href="{escape(login_url)}">Log in</a> {links}'
    code = f"<dt>Code</dt><dd>{failure.code.value}</dd>"
    facts = f"<dl>{code}<dt>Request</dt><dd>{escape(request_id)}</dd></dl>"
    return pages.page(problem.title, f"<p>{words}</p><p>{links}</p>{facts}")
