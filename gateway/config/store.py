"""Where sessions are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.adapters.redis_client import StoreSettings
from gateway.config.findings import Path, Report
from gateway.config.references import References
from gateway.config.secret_reference import SecretReference
from gateway.config.sections import StoreSection
from gateway.secret import Password, StoreUrl
from gateway.settings import EmbeddedStore

_URL: Path = ("store", "url")
_FORMS = "redis://HOST[:PORT][/DB], rediss://…, unix:///PATH[?db=N] or embedded:DIRECTORY"
_EMBEDDED = "embedded:"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Store:
    """How to reach the store, and the server to start first, if it is ours."""

    settings: StoreSettings
    embedded: EmbeddedStore | None = None


def build_store(section: StoreSection, references: References, report: Report) -> Store:
    """Return the store; its address is checked for everything but an answer."""
    by_reference = isinstance(section.url, SecretReference)
    url = (
        references.text(section.url, _URL)
        if isinstance(section.url, SecretReference)
        else section.url
    )
    password = references.text(section.password, ("store", "password"))
    if not section.prefix.isascii() or " " in section.prefix:
        report.error(("store", "prefix"), "must be plain ASCII without spaces")
    settings = StoreSettings(
        url=StoreUrl(url or ""),
        prefix=section.prefix,
        username=section.username,
        password=Password(password) if password is not None else None,
        ca_file=references.certificates(section.ca_file, ("store", "ca_file")),
        connect_timeout=section.connect_timeout,
        command_timeout=section.command_timeout,
        budget=section.operation_timeout,
        max_connections=section.max_connections,
    )
    if url is None:
        return Store(settings)
    if url.startswith(_EMBEDDED):
        return _embedded(url.removeprefix(_EMBEDDED), settings, references, report)
    if wrong := _fault(url, by_reference=by_reference):
        report.error(_URL, wrong)
    elif section.ca_file is not None and not url.startswith("rediss:"):
        report.warn(("store", "ca_file"), "has no effect: only rediss:// uses TLS")
    return Store(settings)


def _embedded(name: str, settings: StoreSettings, references: References, report: Report) -> Store:
    if not name.strip():
        report.error(_URL, "needs a directory, like embedded:./data")
    for key, value in (("username", settings.username), ("password", settings.password)):
        if value is not None:
            report.error(("store", key), "the embedded store has none: only this user reaches it")
    directory = references.place(name)
    if references.has_file(name):
        report.error(_URL, "names something that is not a directory")
    return Store(settings, EmbeddedStore(str(directory), settings))


def _fault(url: str, *, by_reference: bool) -> str | None:
    """Return what is wrong with an address, without repeating any of it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "must be one line of plain ASCII"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"is not an address; write {_FORMS}"
    if parts.password and not by_reference:
        return (
            "holds a password in clear; put it under store.password as {env: NAME} or "
            "{file: PATH}, and choose a new one"
        )
    if port == 0:
        return f"the port must lie between 1 and {_HIGHEST_PORT}"
    check = _CHECKS.get(parts.scheme)
    return check(parts) if check else f"must be {_FORMS}"


def _network(parts: SplitResult) -> str | None:
    if not parts.hostname:
        return f"names no host; write {_FORMS}"
    if parts.query or parts.fragment:
        return "has no query and no fragment; timeouts and the like are settings under store"
    database = parts.path.removeprefix("/")
    if database and not (database.isascii() and database.isdigit()):
        return "the path must be the number of a database, like /0"
    return None


def _unix(parts: SplitResult) -> str | None:
    if parts.netloc or not parts.path.startswith("/"):
        return "a socket's path begins with three slashes: unix:///run/redis.sock"
    database = parts.query.removeprefix("db=")
    if parts.fragment or (database and not (database.isascii() and database.isdigit())):
        return "after the path only ?db=N is possible"
    return None


def _later(parts: SplitResult) -> str:
    return f"{parts.scheme}:// is not available in this version; write {_FORMS}"


_CHECKS: dict[str, Callable[[SplitResult], str | None]] = {
    "redis": _network,
    "rediss": _network,
    "unix": _unix,
    "redis+sentinel": _later,
    "redis+cluster": _later,
    "rediss+sentinel": _later,
    "rediss+cluster": _later,
}
