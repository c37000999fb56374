"""Who the client is (RFC 6749 section 2.3.1).

Authlib's own reading of Basic decodes the two halves as URL paths, not as form values, and lets a
second method stand beside the first; so the whole question is answered here.
"""

import binascii
import hmac
from base64 import b64decode
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

from gateway.dev.accounts import DevProviderSettings
from gateway.dev.parameters import ProviderRequest
from gateway.dev.records import Records, Registered

CLIENT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


def authenticate_client(
    request: ProviderRequest, settings: DevProviderSettings, records: Records
) -> Registered:
    """Return the client that proved who it is.

    Raises Authlib's `InvalidClientError` (401) or, for two proofs at once, `InvalidRequestError`.
    """
    form = request.form
    if request.authorization:
        client_id, secret = _basic(request.authorization)
        if "client_secret" in form or form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("One way of authenticating, please")
        request.auth_method = "client_secret_basic"
    else:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        request.auth_method = "client_secret_post"
    known = settings.client_named.get(client_id)
    expected = known.client_secret.reveal() if known else ""
    # In constant time (CWE-208); an empty expectation still costs one comparison.
    same = hmac.compare_digest(secret.encode(), expected.encode())
    client = records.client(client_id)
    if client is None or not expected or not same:
        raise _refused("The client id or its secret is wrong")
    return client


def _basic(authorization: list[str]) -> tuple[str, str]:
    scheme, _, credentials = authorization[0].partition(" ")
    if len(authorization) != 1 or scheme.lower() != "basic":
        raise _refused("Client authentication is by Basic or in the form")
    try:
        pair = b64decode(credentials.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise _refused("The Basic credentials are not well formed") from None
    client_id, _, secret = pair.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _refused(description: str) -> InvalidClientError:
    return InvalidClientError(description, status_code=401)
