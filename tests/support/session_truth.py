"""What is true of the sessions of a fleet, told apart from what any replica believes.

Kept by whoever plays the world: records as the server wrote them, tokens as the provider issued
them, and who had a reason to end what.
"""

from dataclasses import dataclass, field

from gateway.ports import Clock, LookupId, StoredRecord
from gateway.secret import SessionHandle
from gateway.session import codec
from gateway.session.model import Facts, Tokens
from gateway.session.sealing import KeyRing
from tests.support.held_line import Outcome, Presented
from tests.support.token_families import Attempt, Families

_NEARLY_OVER = 60.0  # seconds of a deadline, which the store measures by its own clock
_LATELY = 1000.0  # seconds; a logout may be younger than a login, once the clock was set back
_PARALLEL = 5.0  # seconds between two logins that spare each other


@dataclass(eq=False)
class Known:
    """One session, from its first record on.

    `reasons` are the endings that were asked for, whatever was answered; `lapsed` says that the
    lease of a living holder ran out, as when its process is suspended.
    """

    lookup: LookupId
    handle: SessionHandle
    facts: Facts
    family: Attempt
    generation: int = 0
    refresh_tokens: list[str] = field(default_factory=list)  # of the record, in order
    reasons: set[str] = field(default_factory=set)
    gone: bool = False  # its record was there, and then was not
    lapsed: bool = False

    @property
    def durable(self) -> str:
        return self.refresh_tokens[-1]


class Truth:
    """Every session the fleet ever stored. `wrong` collects what must never have happened."""

    def __init__(self, ring: KeyRing, families: Families, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock
        self._families = families
        self.handles: dict[LookupId, SessionHandle] = {}
        self.sessions: dict[LookupId, Known] = {}
        self.durable_access: dict[str, float] = {}  # and until when it is good
        self.presented: list[Presented] = []
        self.given_back: list[Known] = []
        self.ordered: set[str] = set()  # the sids a provider has logged out
        self.ordered_at: dict[str, float] = {}  # when it has logged out a person, the last time
        self.ending_others: list[Facts] = []  # whose owners are ending all their others
        self.wrong: list[str] = []

    def opened(self, lookup: LookupId, record: StoredRecord) -> tuple[Facts, Tokens]:
        session = codec.open_session(self._ring, self.handles[lookup], lookup, record)
        return session.facts, session.tokens

    def wrote(self, lookup: LookupId, record: StoredRecord) -> None:
        """A record has been stored: it must be a step forward, of a session that is there."""
        facts, tokens = self.opened(lookup, record)
        assert tokens.refresh_token is not None
        refresh, access = tokens.refresh_token.reveal(), tokens.access_token.reveal()
        known = self.sessions.get(lookup)
        family = self._families.of(refresh)
        assert family is not None
        if known is None:
            known = self._created(lookup, facts, family)
        known.facts = facts
        if facts.deadline() - self._clock.now() < _NEARLY_OVER:
            known.reasons.add("deadline")
        self.durable_access[access] = tokens.expires_at
        if known.gone:
            self.wrong.append(f"I1: {facts.session_id} was written after its end")
        if record.generation != known.generation + 1:
            self.wrong.append(f"I4: generation {record.generation} after {known.generation}")
        known.generation = record.generation
        if family is not known.family:
            self.wrong.append("I7: a session holds another login's tokens")
        if not known.refresh_tokens or known.durable != refresh:
            if refresh in known.refresh_tokens:
                self.wrong.append("I4: the record went back to a former refresh token")
            elif known.refresh_tokens and self._families.parents[refresh] != known.durable:
                self.wrong.append("I4: tokens were written over others than had been spent")
            known.refresh_tokens.append(refresh)

    def _created(self, lookup: LookupId, facts: Facts, family: Attempt) -> Known:
        known = Known(lookup, self.handles[lookup], facts, family)
        for other in self.of_browser(facts.browser):
            other.reasons.add("new_login")
            if abs(other.facts.created_at - facts.created_at) <= _PARALLEL:
                known.reasons.add("new_login")  # one of the two will be left over
        lately = self.ordered_at.get(facts.subject, -1e12) > facts.created_at - _LATELY
        if family.sid in self.ordered or lately:
            known.reasons.add("backchannel_logout")  # it overtook the login
        for ending in self.ending_others:  # a list that comes late names this one as well
            if ending.subject == facts.subject and ending.browser != facts.browser:
                known.reasons.add("other_session")
        self.sessions[lookup] = known
        return known

    def of_browser(self, browser: str) -> list[Known]:
        """The sessions of one browser that are not known to be gone."""
        return [
            one for one in self.sessions.values() if one.facts.browser == browser and not one.gone
        ]

    def owner(self, token: str) -> Known | None:
        """The session a refresh or access token belongs to."""
        family = self._families.of(token)
        return next((one for one in self.sessions.values() if one.family is family), None)

    def present(self, presented: Presented) -> None:
        """A refresh token reaches the provider: the only time, unless nobody knows of the last."""
        token = presented.token
        known = self.owner(token)
        if known is not None and not known.lapsed:
            for before in self.presented:
                if before.token == token and not _is_done_with(before):
                    self.wrong.append(f"I2: a refresh token was spent again ({before.outcome})")
            if token != known.durable and not known.gone:
                self.wrong.append("I3: a refresh token was spent that had been replaced")
        self.presented.append(presented)

    def revoke(self, token: str) -> None:
        """A token is given back."""
        known = self.owner(token)
        if known is not None and not known.facts.is_over(self._clock.now()):
            self.given_back.append(known)

    def look_at_what_was_given_back(self) -> None:
        """Only of sessions that are over, as is known by now."""
        if not all(known.gone or known.reasons for known in self.given_back):
            self.wrong.append("I6: the tokens of a living session were revoked")
        self.given_back.clear()

    def had_to_end(self, known: Known) -> bool:
        """Whether the session may be over: somebody ended it, or its provider said so.

        Of the tokens that the record held in the end, that is: a token which had been replaced may
        be refused to whoever is late with it, and that says nothing.
        """
        if known.reasons or known.family.revoked:
            return True
        if known.durable in self._families.valid:
            return False
        if known.lapsed:  # two have spent it, and the answer to one of them is still on its way
            return True
        # Its newest tokens may still be on their way, or in the memory of a living process.
        return all(_is_done_with(one) for one in self.presented if one.token == known.durable)


def _is_done_with(presented: Presented) -> bool:
    return presented.line.dead or presented.outcome in (Outcome.MISSED, Outcome.NOT_SPENT)
