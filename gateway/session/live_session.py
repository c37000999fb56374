"""A session with open channels: what is known of it, and when it is to be looked at again."""

import math
from typing import Protocol

from gateway.errors import Code
from gateway.session.cache import Origin
from gateway.session.model import Session
from gateway.session.token_life import good_until


class Channel(Protocol):
    """A WebSocket or an event stream, as its session sees it."""

    def end(self, code: Code) -> None:
        """Say that the session is over (or its token, by the code), and close. Quick, no raise."""
        ...


class LiveSession:
    """A session with open channels.

    `used` is set by whoever sees the person do something through one of them, and then counts as
    activity (P7).
    """

    __slots__ = (
        "channels",
        "check_at",
        "facts",
        "handle",
        "lookup",
        "origin",
        "renew_at",
        "slide_at",
        "token_end",
        "used",
        "with_token",
    )

    def __init__(self, session: Session) -> None:
        self.handle = session.handle
        self.lookup = session.lookup
        self.channels: set[Channel] = set()
        self.used = False
        self.with_token = False  # a channel carries an access token, which runs out
        self.check_at = 0.0
        self.slide_at = 0.0
        self.renew_at = 0.0
        self.learn(session, None)

    def learn(self, session: Session, origin: Origin | None) -> None:
        """Take over what the session is now, and from which record."""
        self.facts = session.facts
        self.token_end = good_until(session.tokens)
        self.origin = origin

    def renewal_at(self) -> float:
        """Return when its token is to be renewed; far away while that is under way."""
        return max(self.token_end, self.renew_at) if self.with_token else math.inf
