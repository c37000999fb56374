"""Reading what clients and browsers send: each name once, forms bounded (RFC 6749 section 3)."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error, OAuth2Payload, OAuth2Request
from starlette.requests import Request

_LONGEST_FORM = 65536  # octets
_MOST_FIELDS = 100
_FORM = "application/x-www-form-urlencoded"


class Parameters(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """Parameters in order. One without a value counts as not sent (RFC 6749 section 3.1)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = [(name, value) for name, value in pairs if value]

    @property
    def data(self) -> dict[str, str]:
        """The first value of each name; `repeated` says whether there are more."""
        return dict(reversed(self.pairs))

    @property
    def datalist(self) -> dict[str, list[str]]:
        """Every value of each name."""
        found: dict[str, list[str]] = {}
        for name, value in self.pairs:
            found.setdefault(name, []).append(value)
        return found

    def only(self, name: str) -> str | None:
        """Return the value of a name that was sent exactly once."""
        values = self.datalist.get(name, [])
        return values[0] if len(values) == 1 else None

    @property
    def repeated(self) -> bool:
        """Whether some name was sent twice, which the RFC forbids for all of them."""
        return any(len(values) > 1 for values in self.datalist.values())


class ProviderRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """A request as Authlib's grants read it. `authorization` is every such field line."""

    def __init__(
        self,
        method: str,
        uri: str,
        parameters: Parameters,
        authorization: Iterable[str] = (),
    ) -> None:
        super().__init__(method, uri)
        self.payload = parameters
        self.authorization = list(authorization)

    @property
    def form(self) -> dict[str, str]:
        """The parameters: endpoints with a form read nothing from the query."""
        data: dict[str, str] = self.payload.data
        return data


async def read_form(request: Request) -> Parameters:
    """Return the form in the body; raises Authlib's `InvalidRequestError` if there is none."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise InvalidRequestError("The body has to be form-encoded")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            raise InvalidRequestError("The form is too long")
    return _parse(bytes(body))


def read_query(request: Request) -> Parameters:
    """Return the query; raises Authlib's `InvalidRequestError` when it has too many fields."""
    query: bytes = request.scope["query_string"]
    return _parse(query)


def _parse(octets: bytes) -> Parameters:
    try:
        pairs = parse_qsl(octets.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidRequestError("Too many parameters") from None
    return Parameters(pairs)


def only_once(request: ProviderRequest) -> None:
    """Refuse a request in which a parameter occurs twice (RFC 6749 section 3.2)."""
    if request.payload.repeated:
        raise InvalidRequestError("A parameter occurs twice")


def body_of(error: OAuth2Error) -> list[tuple[str, str]]:
    """Return the parameters of an Authlib error, without the state."""
    found = [("error", str(error.error))]
    description = error.get_error_description()
    return [*found, ("error_description", str(description))] if description else found
