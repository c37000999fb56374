"""Offering one refresh token back to its provider, and telling what came of it.

A token is shown to the issuer it came from and to nobody else (E16). Counted here, audited here,
so that the two agree.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from gateway.errors import Code, GatewayError
from gateway.oidc.revocation import Revocation, Verdict
from gateway.ports import NOBODY, AuditEvent, AuditLog, AuditName, Caller, Clock, Outcome
from gateway.session.provider import Provider, provider_at
from gateway.session.revocation_entries import GivenBack

_log = logging.getLogger("gateway.revocation")

GIVE_UP_AFTER = 86400.0  # seconds
_SHORTEST, _LONGEST = 5.0, 600.0  # seconds between two attempts for one token
_ATTEMPT = 8.0  # seconds for one of them
_REST = 5.0  # seconds a provider that failed is not shown the other tokens it is owed


def pause_before_next(age: float, after: float) -> float | None:
    """Return the seconds until a token of this age is offered again; None when it never is.

    `age` is how long ago it was given back, `after` what the provider asked for (Retry-After).
    """
    if age >= GIVE_UP_AFTER:
        return None
    return max(min(max(age / 2, _SHORTEST), _LONGEST), after)


class RevocationCounts:
    """What one process has counted; `waiting` is the queue's length when it last looked."""

    def __init__(self) -> None:
        self.by_outcome = Counter[str]({"done": 0, "failed": 0, "given_up": 0, "not_kept": 0})
        self.waiting = 0


class Offering:
    """Asks providers to revoke, and writes down what they say."""

    def __init__(self, providers: Mapping[str, Provider], clock: Clock, audit: AuditLog) -> None:
        self._providers = providers
        self._clock = clock
        self._audit = audit
        self.counts = RevocationCounts()
        self._resting: dict[str, tuple[float, float]] = {}  # provider: since when, how long
        self._noted: set[str] = set()

    def is_possible(self, provider_name: str, issuer: str) -> bool:
        """Whether the provider may take tokens back, as far as is known without asking it."""
        provider = provider_at(self._providers, provider_name, issuer)
        if provider is None or not provider.cannot_revoke():
            return True
        self._note_missing_endpoint(provider_name)
        return False

    async def offer(self, given_back: GivenBack) -> Revocation:
        """Show the token to its provider once; raises nothing.

        A provider that takes none back is as good as one that has: nothing is left to do.
        """
        name = given_back.provider
        provider = provider_at(self._providers, name, given_back.issuer)
        if provider is None:  # another replica may have it, during a rollout
            return Revocation(Verdict.LATER, note="its provider is not configured any more")
        try:
            async with asyncio.timeout(_ATTEMPT):
                revocation = await provider.revoke(given_back.token)
        except TimeoutError:
            revocation = Revocation(Verdict.LATER, note="the provider did not answer in time")
        except GatewayError as failure:
            revocation = Revocation(Verdict.LATER, note=failure.note)
        if revocation.verdict is Verdict.LATER:
            self._resting[name] = (self._clock.now(), max(_REST, revocation.after))
        else:
            self._resting.pop(name, None)
        return revocation

    def rest_of(self, provider_name: str) -> float:
        """Return for how many seconds more the provider is to be left alone."""
        since, lasts = self._resting.get(provider_name, (0.0, 0.0))
        gone = self._clock.now() - since
        return lasts - gone if 0 <= gone < lasts else 0.0

    def concluded(self, given_back: GivenBack, revocation: Revocation, caller: Caller) -> None:
        """Write down a verdict: the token is dead, or nothing more can be done about it."""
        if revocation.verdict is Verdict.NO_ENDPOINT:
            self._note_missing_endpoint(given_back.provider)
        elif revocation.verdict is Verdict.DONE:
            self.counts.by_outcome["done"] += 1
            self._record(given_back, AuditName.TOKEN_REVOKED, Outcome.SUCCESS, caller)
        else:
            self.counts.by_outcome["given_up"] += 1
            self._failed(given_back, Outcome.REFUSED, caller, revocation.note)

    def given_up(self, given_back: GivenBack, revocation: Revocation) -> None:
        """Write down that the provider did not take the token in all that time."""
        self.counts.by_outcome["given_up"] += 1
        note = f"given up after a day: {revocation.note}"
        self._failed(given_back, Outcome.FAILURE, NOBODY, note, Code.PROVIDER_UNAVAILABLE)

    def failed(self, given_back: GivenBack, note: str, caller: Caller) -> None:
        """Write down a first attempt that failed; later ones are only counted."""
        self.counts.by_outcome["failed"] += 1
        self._failed(given_back, Outcome.FAILURE, caller, note, Code.PROVIDER_UNAVAILABLE)

    def _note_missing_endpoint(self, provider_name: str) -> None:
        if provider_name not in self._noted:
            self._noted.add(provider_name)
            _log.info(
                "the provider %s has no revocation endpoint: the refresh tokens of sessions that "
                "are over live on there until they run out",
                provider_name,
            )

    def _failed(
        self,
        given_back: GivenBack,
        outcome: Outcome,
        caller: Caller,
        note: str,
        code: Code | None = None,
    ) -> None:
        name = AuditName.TOKEN_REVOCATION_FAILED
        self._record(given_back, name, outcome, caller, note, code)

    def _record(
        self,
        given_back: GivenBack,
        name: AuditName,
        outcome: Outcome,
        caller: Caller,
        note: str = "",
        code: Code | None = None,
    ) -> None:
        self._audit.record(
            AuditEvent(
                name,
                outcome,
                code,
                provider=given_back.provider,
                issuer=given_back.issuer,
                subject=given_back.subject,
                session=given_back.session,
                caller=caller,
                note=note,
            )
        )
