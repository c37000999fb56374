"""What the supervisor decides, as pure functions."""

from collections.abc import Collection
from itertools import count
from math import ceil

from gateway.adapters.redis_client import StoreSettings
from gateway.settings import Settings

STEADY_AFTER = 1.0
"""Seconds a worker must have served for its death not to look like a failed start."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds


def cores(processors: int, quota: str) -> int:
    """Return how many cores there are to use.

    `processors` are those we may run on; `quota` is the control group's `cpu.max`, microseconds
    per period, as in `150000 100000` (a core and a half, counted as two) or `max 100000`.
    """
    allowed, _, period = quota.strip().partition(" ")
    if allowed.isdigit() and period.isdigit() and int(period) > 0:
        processors = min(processors, ceil(int(allowed) / int(period)))
    return max(processors, 1)


def pause_before_restart(early_deaths: int) -> float:
    """Return the seconds to wait when so many workers on one seat died early, one after another."""
    if early_deaths == 0:
        return 0.0
    return float(min(_FIRST_PAUSE * 2 ** min(early_deaths - 1, 16), _LONGEST_PAUSE))


def lowest_free(taken: Collection[int]) -> int:
    """Return a number for a worker: no two that live have the same, and they stay small."""
    return next(number for number in count() if number not in taken)


def kept_until_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the keys that differ and take effect at the next start only."""
    differ = {
        "listen.host": old.listen.host != new.listen.host,
        "listen.port": old.listen.port != new.listen.port,
        "admin.host": old.admin.host != new.admin.host,
        "admin.port": old.admin.port != new.admin.port,
        "store.url": not is_same_embedded_store(old, new),
    }
    return tuple(key for key, differs in differ.items() if differs)


def is_same_embedded_store(old: Settings, new: Settings) -> bool:
    """Whether both want the same private server, or none."""
    one, other = old.embedded_store, new.embedded_store
    return (one and one.directory) == (other and other.directory)


def can_end_sessions_of(
    old: Settings, old_store: StoreSettings, new: Settings, new_store: StoreSettings
) -> bool:
    """Whether workers with the new settings and store can end every session of the old ones.

    A logout has to end a session's channels, wherever they are (P4). In another store nobody finds
    the session, and without the key that sealed it nobody opens it; at another origin, or by
    another name, no browser sends its cookie; and without its provider it is over for whoever asks.
    """
    same_place = (old_store.url, old_store.prefix) == (new_store.url, new_store.prefix)
    same_cookie = (old.public_origin, old.cookies.session_name) == (
        new.public_origin,
        new.cookies.session_name,
    )
    has_keys = all(key in new.keys for key in old.keys)
    return same_place and same_cookie and has_keys and _issuers(old) <= _issuers(new)


def _issuers(settings: Settings) -> set[tuple[str, str]]:
    """By both, as sessions tell their providers apart (E16)."""
    return {(client.provider, client.issuer) for client in settings.clients}


def is_traced(status: str) -> bool:
    """Whether a debugger holds the process with this `/proc/…/status` (proc_pid_status(5))."""
    lines = (line.partition(":") for line in status.splitlines())
    return any(name == "TracerPid" and value.strip() != "0" for name, _, value in lines)
