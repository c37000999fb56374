"""How long and how often everything is measured: in full, or a look in about two minutes."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in seconds. `rounds` are interleaved: every system once, then every system again.

    Logins for the growth over sessions stop after `login_seconds` for each system, wherever they
    are then.
    """

    name: str
    rounds: int
    seconds: float
    warm_up: float
    latency_rounds: int
    latency_seconds: float
    single_rounds: int
    single_seconds: float
    body_rounds: int
    body_seconds: float
    growth_rounds: int
    growth_seconds: float
    connections: tuple[int, ...]
    sessions: tuple[int, ...]
    login_seconds: float
    channels: int


CONNECTIONS = 32
"""Keep-alive connections, unless something else is said."""
SESSIONS = 2 * CONNECTIONS
"""Live sessions, unless something else is said: no two requests under way are of the same one.

With a single session every system that reads its store once for several requests would do so.
"""
BODY_CONNECTIONS = 8
LOAD_SHARE = 0.6
"""Of its own throughput: the fixed rate at which a system's latency is measured."""

FULL = Plan(
    name="full",
    rounds=5,
    seconds=3.0,
    warm_up=0.5,
    latency_rounds=3,
    latency_seconds=3.0,
    single_rounds=3,
    single_seconds=1.0,
    body_rounds=3,
    body_seconds=1.5,
    growth_rounds=3,
    growth_seconds=0.8,
    connections=(1, 10, 100, 300, 1000),
    sessions=(1, 10, 100, 1000, 10000),
    login_seconds=60.0,
    channels=500,
)

QUICK = Plan(
    name="quick",
    rounds=2,
    seconds=1.2,
    warm_up=0.3,
    latency_rounds=1,
    latency_seconds=1.5,
    single_rounds=1,
    single_seconds=0.5,
    body_rounds=1,
    body_seconds=1.0,
    growth_rounds=1,
    growth_seconds=0.7,
    connections=(1, 100),
    sessions=(1, 100, 300),
    login_seconds=4.0,
    channels=50,
)


def chosen_plan() -> Plan:
    """Return the plan: QUICK=1 in the environment asks for the short one."""
    return QUICK if os.environ.get("QUICK") == "1" else FULL
