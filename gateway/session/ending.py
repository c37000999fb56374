"""Ending many sessions at somebody's word: several at once, so that nobody waits for each."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.ports import Caller
from gateway.session.indexes import Listed
from gateway.session.manager import Sessions
from gateway.session.model import Facts

_AT_ONCE = 8  # of a worker's connections to the store; the rest is for whoever is served


def _nothing(_: Facts) -> float:
    return 0.0


async def end_each(
    sessions: Sessions,
    found: Sequence[Listed],
    *,
    by: str,
    caller: Caller,
    keep: Callable[[Facts], float] = _nothing,
) -> int:
    """End these sessions; returns how many were still there. `keep` is that of `Sessions.end`.

    Raises `Unavailable` when the store fails; what was ended until then stays ended.
    """
    ended = 0
    for start in range(0, len(found), _AT_ONCE):
        outcomes = await asyncio.gather(
            *(
                sessions.end(one.lookup, one.facts, by=by, caller=caller, keep=keep(one.facts))
                for one in found[start : start + _AT_ONCE]
            ),
            return_exceptions=True,  # none is left behind: all have come to their end
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            ended += outcome
    return ended
