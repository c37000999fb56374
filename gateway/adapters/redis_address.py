"""Where a store is, read from its URL."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gateway.errors import Misconfigured
from gateway.secret import Password, StoreUrl

_FORMS = "redis://HOST[:PORT][/DB], rediss://… or unix:///PATH[?db=N]"
_PORT = 6379


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A server: its `path` when it listens on a unix socket, else `host` and `port`."""

    path: str
    host: str
    port: int
    over_tls: bool
    database: int
    username: str | None
    password: Password | None


def store_address(url: StoreUrl) -> StoreAddress:
    """Return what the URL says. Raises `Misconfigured`, without quoting it, if it says nothing.

    Options in the query are refused: redis-py would let them override the time-outs.
    """
    try:
        parts = urlsplit(url.reveal())
        local = parts.scheme == "unix"
        numbered = parts.query.removeprefix("db=") if local else parts.path[1:]
        host, port, database = parts.hostname or "", parts.port or _PORT, int(numbered or "0")
    except ValueError:  # its text quotes the URL
        raise Misconfigured([f"store.url: not an address; write {_FORMS}"]) from None
    remote = parts.scheme in ("redis", "rediss") and host and not parts.query
    if not remote and not (local and parts.path):
        raise Misconfigured([f"store.url: write {_FORMS}"])
    return StoreAddress(
        path=unquote(parts.path) if local else "",
        host=host,
        port=port,
        over_tls=parts.scheme == "rediss",
        database=database,
        username=unquote(parts.username or "") or None,
        password=Password(unquote(parts.password)) if parts.password else None,
    )
