"""Where a person's own app and API are: looked at before anything is written or started."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

_SCHEMES = ("http://", "https://")
_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]+(/.*)?|localhost(/.*)?")
_PATIENCE = 0.5  # seconds for something on this machine to take a connection


def is_address(place: str) -> bool:
    """Whether this is a server's address, not a folder's path."""
    return place.startswith(_SCHEMES)


def mistakes(app: str, api: str) -> list[str]:
    """Return what is wrong with the options, in words that name them."""
    found = []
    if app and not is_address(app) and not Path(app).is_dir():
        if _HOST_AND_PORT.fullmatch(app):
            found.append(f"--app {app}: an address begins with http:// (http://{app}?)")
        else:
            found.append(f"--app {app}: there is no such folder; build the app first")
    if api and not is_address(api):
        found.append(f"--api {api}: an address begins with http:// or https://")
    return found


def silent(app: str, api: str) -> list[str]:
    """Return the options whose server takes no connection yet, each with its address."""
    return [
        f"{option} {place}"
        for option, place in (("--app", app), ("--api", api))
        if is_address(place) and not _answers(place)
    ]


def _answers(address: str) -> bool:
    parts = urlsplit(address)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), _PATIENCE).close()
    except (OSError, ValueError):
        return False
    return True
