"""Whether the store's server drops keys when its memory is full: that would end sessions early.

All our keys have a time to live, so every policy but `noeviction` takes sessions, the `volatile-…`
ones too. Only ever asked at start: what it says is advice to the operator, nothing depends on it.
"""

import logging
import re
from functools import partial

from gateway.adapters.redis_client import RedisClient
from gateway.adapters.redis_scripts import Step
from gateway.errors import Unavailable

_FACTS = re.compile(rb"^(maxmemory|maxmemory_policy):([0-9a-z-]+)\r?$", re.MULTILINE)
_NEVER = b"noeviction"

_log = logging.getLogger("gateway.store")


async def advise(client: RedisClient) -> None:
    """Warn when the server will evict. One that is away, or may not say, is not asked again."""
    try:
        policy = await evicts_by(client)
    except Unavailable:
        return
    if policy:
        _log.warning(
            "the store's server drops keys when its memory is full (maxmemory-policy %s): "
            "people are logged out then. Set it to noeviction",
            policy,
        )


async def evicts_by(client: RedisClient) -> str | None:
    """Return the policy the server evicts by; None when it never does. Raises `Unavailable`."""
    step = Step(("INFO", "memory"), lambda reply: isinstance(reply, bytes))
    facts = dict(_FACTS.findall(await client.do(partial(client.one, step, repeatable=True))))
    policy = facts.get(b"maxmemory_policy", _NEVER)
    if policy == _NEVER or facts.get(b"maxmemory", b"0") == b"0":
        return None
    return str(policy, "ascii")
