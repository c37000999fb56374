"""The failures the gateway knows, as one vocabulary.

    GatewayError
    ├── Refused       they sent what we do not accept: a clear 4xx, nothing is lost
    ├── Unavailable   what we depend on failed: 502/503/504, nobody is logged out
    └── Misconfigured the operator's settings are wrong: the gateway does not start

Anything else that is raised is a bug. `Code` lists every stable code; `web/problems.py` is the one
table from code to status, and `docs/errors.md` explains each (a test compares all three).
"""

import math
from enum import Enum, StrEnum


class Code(StrEnum):
    """Stable codes: in problem documents, pages, audit lines and metrics. Never rename one."""

    # what the request itself looks like
    REQUEST_MALFORMED = "request.malformed"
    REQUEST_TIMEOUT = "request.timeout"
    VERSION_UNSUPPORTED = "version.unsupported"
    TARGET_MALFORMED = "target.malformed"
    TARGET_AMBIGUOUS = "target.ambiguous"
    TARGET_TOO_LONG = "target.too_long"
    HOST_MALFORMED = "host.malformed"
    HOST_MISDIRECTED = "host.misdirected"
    FIELD_MALFORMED = "field.malformed"
    FIELDS_TOO_LARGE = "fields.too_large"
    BODY_TOO_LARGE = "body.too_large"
    BODY_MALFORMED = "body.malformed"
    CODING_UNSUPPORTED = "coding.unsupported"
    EXPECTATION_FAILED = "expectation.failed"
    METHOD_NOT_ALLOWED = "method.not_allowed"
    METHOD_NOT_IMPLEMENTED = "method.not_implemented"
    UPGRADE_REFUSED = "upgrade.refused"
    WEBSOCKET_MALFORMED = "websocket.malformed"
    WEBSOCKET_VERSION = "websocket.version"
    GRPC_NATIVE = "grpc.native"
    ROUTE_NOT_FOUND = "route.not_found"
    STATIC_NOT_FOUND = "static.not_found"
    RANGE_UNSATISFIABLE = "range.unsatisfiable"
    LOOP_DETECTED = "loop.detected"
    CONNECTION_LIMIT = "connection.limit"
    # cross-site request forgery (RFC 10017 section 6.1.3.3)
    CSRF_MISSING = "csrf.missing"
    CSRF_CROSS_SITE = "csrf.cross_site"
    CSRF_ORIGIN = "csrf.origin"
    # tokens and scopes
    TOKEN_IN_REQUEST = "token.in_request"
    TOKEN_EXPIRED = "token.expired"
    SCOPE_INSUFFICIENT = "scope.insufficient"
    # sessions
    SESSION_REQUIRED = "session.required"
    SESSION_AMBIGUOUS = "session.ambiguous"
    SESSION_ENDED = "session.ended"
    SESSION_NOT_FOUND = "session.not_found"
    SESSION_TOO_LARGE = "session.too_large"
    # starting a login
    LOGIN_NAVIGATION_ONLY = "login.navigation_only"
    LOGIN_PARAMETER = "login.parameter"
    LOGIN_RETURN_TO = "login.return_to"
    LOGIN_PROVIDER_UNKNOWN = "login.provider_unknown"
    LOGIN_OVERTAKEN = "login.overtaken"
    # the provider's answer through the browser
    CALLBACK_MALFORMED = "callback.malformed"
    CALLBACK_ISSUER = "callback.issuer"
    STATE_UNKNOWN = "state.unknown"
    STATE_EXPIRED = "state.expired"
    STATE_REPLAYED = "state.replayed"
    PROVIDER_ERROR = "provider.error"
    # the provider's answers on the back channel
    TOKEN_RESPONSE_INVALID = "token_response.invalid"
    TOKEN_GRANT_REFUSED = "token_response.refused"
    TOKEN_TYPE_UNSUPPORTED = "token_response.token_type"
    ID_TOKEN_MISSING = "id_token.missing"
    ID_TOKEN_MALFORMED = "id_token.malformed"
    ID_TOKEN_SIGNATURE = "id_token.signature"
    ID_TOKEN_ISSUER = "id_token.issuer"
    ID_TOKEN_AUDIENCE = "id_token.audience"
    ID_TOKEN_TIME = "id_token.time"
    ID_TOKEN_NONCE = "id_token.nonce"
    ID_TOKEN_SUBJECT = "id_token.subject"
    ID_TOKEN_ACR = "id_token.acr"
    ID_TOKEN_AUTH_TIME = "id_token.auth_time"
    ID_TOKEN_HASH = "id_token.at_hash"
    USERINFO_INVALID = "userinfo.invalid"
    # administration, on the admin listener
    ADMIN_FROM_PAGE = "admin.from_page"
    ADMIN_TOKEN = "admin.token"
    ADMIN_NOT_CONFIGURED = "admin.not_configured"
    ADMIN_SELECTOR = "admin.selector"
    ADMIN_NO_WORKER = "admin.no_worker"
    # the provider's logout token (OpenID Connect Back-Channel Logout)
    LOGOUT_TOKEN_MISSING = "logout_token.missing"
    LOGOUT_TOKEN_MALFORMED = "logout_token.malformed"
    LOGOUT_TOKEN_SIGNATURE = "logout_token.signature"
    LOGOUT_TOKEN_CLAIMS = "logout_token.claims"
    LOGOUT_TOKEN_REPLAYED = "logout_token.replayed"
    LOGOUT_TOO_MANY = "logout_token.too_many"
    # what we depend on
    PROVIDER_METADATA = "provider.metadata"
    PROVIDER_UNAVAILABLE = "provider.unavailable"
    TOKEN_UNAVAILABLE = "token.unavailable"
    STORE_UNAVAILABLE = "store.unavailable"
    UPSTREAM_CONNECT = "upstream.connect"
    UPSTREAM_TIMEOUT = "upstream.timeout"
    UPSTREAM_PROTOCOL = "upstream.protocol"
    UPSTREAM_OVERLOADED = "upstream.overloaded"
    # us
    INTERNAL = "internal"


class GatewayError(Exception):
    """A failure with a stable `code`.

    `detail` is for whoever sent the request and must not name internals; `note` is for the
    operator's log and must not contain a secret. Neither may carry text a stranger supplied.
    """

    def __init__(self, code: Code, detail: str = "", *, note: str = "") -> None:
        super().__init__(code.value, detail, note)
        self.code = code
        self.detail = detail
        self.note = note


class Refused(GatewayError):
    """The request, or a provider's answer, is not acceptable. A verdict, not an outage.

    `fields` belong to the answer, such as the Allow of a 405.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        note: str = "",
        fields: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(code, detail, note=note)
        self.fields = fields


def in_whole_seconds(seconds: float) -> int:
    """Return when to come again, for a Retry-After field: never sooner, and never at once."""
    return max(1, math.ceil(seconds))


class Effect(Enum):
    """What is known of a request that was not answered as it should have been."""

    NOTHING = "nothing was carried out"
    LOST = "no answer came"
    UNCLEAR = "an answer came that does not say"


class Unavailable(GatewayError):
    """The store, a provider or an upstream failed. Never a reason to end a session.

    `retry_after` is in whole seconds, for the field of that name; `effect` says whether what was
    asked for may have been done all the same.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        note: str = "",
        retry_after: int = 1,
        effect: Effect = Effect.LOST,
    ) -> None:
        super().__init__(code, detail, note=note)
        self.retry_after = retry_after
        self.effect = effect


class NoTurn(Unavailable):
    """A limit of our own was reached, and nothing was asked: it says nothing of the others."""


class Misconfigured(Exception):
    """The settings are wrong; `findings` holds one line per mistake, each naming its key path."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings
