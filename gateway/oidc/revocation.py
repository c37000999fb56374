"""Giving a token back: the request, and what follows from the answer (RFC 7009)."""

from dataclasses import dataclass
from enum import Enum

from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.oidc.client import Client
from gateway.oidc.client_authentication import authenticated
from gateway.oidc.json_object import NotAnObject, read_json_object
from gateway.oidc.metadata import Metadata
from gateway.secret import AccessToken, RefreshToken

_REFUSALS = frozenset({400, 401})  # RFC 6749 section 5.2, to which RFC 7009 section 2.2.1 refers
# The token is dead already, which is all we wanted. RFC 7009 section 2.2 has a 200 for that.
_DEAD = frozenset({"invalid_token", "invalid_grant"})
# The same request would be refused again, whoever mends what.
_FINAL = frozenset({"unsupported_token_type", "invalid_request"})
# Those of our registration there, which the operator will mend: asked again (RFC 6749 section 5.2).
_OURS = frozenset({"invalid_client", "unauthorized_client"})


class Verdict(Enum):
    """What has become of the token."""

    DONE = "done"  # nobody can use it any more
    LATER = "later"  # it must be taken to live on: asked again
    REFUSED = "refused"  # asking again is of no use
    NO_ENDPOINT = "no endpoint"  # there is nobody to ask


@dataclass(frozen=True, slots=True)
class Revocation:
    """What follows from an answer; `after` is the Retry-After, in seconds, `note` is for a log."""

    verdict: Verdict
    after: float = 0.0
    note: str = ""


def revocation(
    client: Client,
    metadata: Metadata,
    token: RefreshToken | AccessToken,
    assertion: str | None,
) -> BackChannelRequest | None:
    """Return the request that revokes a token (RFC 7009 section 2.1); None if none can (H16)."""
    if metadata.revocation_endpoint is None:
        return None
    hint = "refresh_token" if isinstance(token, RefreshToken) else "access_token"
    pairs = [("token", token.reveal()), ("token_type_hint", hint)]
    return authenticated(client, metadata.revocation_endpoint, pairs, assertion)


def read_revocation(answer: BackChannelAnswer) -> Revocation:
    """Say what follows from a revocation endpoint's answer (RFC 7009 sections 2.2 and 2.2.1).

    Success is success also for a token the provider does not know. A 503 means that the token
    lives on and may be tried again, after its Retry-After; so do all answers that say nothing
    definite, for the token of somebody who has logged out is worth another try.
    """
    if 200 <= answer.status < 300:  # noqa: PLR2004  RFC 7009 says 200; no other success says less
        return Revocation(Verdict.DONE)
    after = float(answer.retry_after or 0)
    said = f"the revocation endpoint answered {answer.status}"
    error = _error(answer)
    if error in _DEAD:
        return Revocation(Verdict.DONE)
    if error in _FINAL:
        return Revocation(Verdict.REFUSED, note=f"{said} {error}")
    if error in _OURS:
        return Revocation(Verdict.LATER, after, f"{said} {error}")
    return Revocation(Verdict.LATER, after, said)


def _error(answer: BackChannelAnswer) -> str | None:
    """Return the error code of a refusal: the member itself, never a word of a page (H10)."""
    if answer.status not in _REFUSALS:
        return None
    try:
        error = read_json_object(answer.body).get("error")
    except NotAnObject:
        return None
    return error if isinstance(error, str) else None
