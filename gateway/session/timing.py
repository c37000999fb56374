"""How long things take when a token is renewed, in one place; tests shorten it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    `lease` is how long a process that dies keeps the lock on a grant; `renew_every` how often a
    living one renews it. After its lease it has a `last_word`: a store that was away has kept it
    from renewing, and when it is back new tokens are written at once, for that is tried every
    `retry_write_longest`. Both together are the longest anybody waits for a dead one, and
    `longest_wait` bounds the wait for a living one. After a grant that failed its session is left
    alone for `first_pause`, then for longer and longer, at most `longest_pause`. `patience` is how
    long callers wait for a store that refuses new tokens; the process goes on trying, `last_tries`
    more when it is told to end. A forced refresh happens once in `force_every` for a session.
    `provider_takes` is how long a provider may take for a refresh as a rule, a dead holder's lease
    not counted; callers wait no longer for one that takes longer, while the refresh goes on.
    """

    lease: float = 3.5
    renew_every: float = 0.8
    last_word: float = 1.5
    longest_wait: float = 60.0
    first_pause: float = 1.0
    longest_pause: float = 10.0
    patience: float = 2.0
    retry_write_first: float = 0.1
    retry_write_longest: float = 0.5
    last_tries: float = 10.0
    force_every: float = 30.0
    provider_takes: float = 15.0
