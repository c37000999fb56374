"""`/admin/sessions`: operators look at sessions and end them. See `edge/administration`.

Two halves, because with several workers the listener is the supervisor's, which has no store:

    AdminDesk    at the listener: is this an operator, and is the request clear?
    Orders       where the store is: carry it out

In between a request is an `Asked`, which `workers/forwarding` hands to a worker.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Scope

from gateway.edge.administration import (
    Everybody,
    Look,
    OnePerson,
    OneProvider,
    OneSession,
    Order,
    Selector,
    read_order,
    require_operator,
)
from gateway.edge.messages import Fields
from gateway.errors import Code, GatewayError, Refused, Unavailable
from gateway.ports import AuditEvent, AuditLog, AuditName, Caller, Clock, Outcome
from gateway.secret import AdminToken
from gateway.session.administration import Administration
from gateway.session.indexes import Listed
from gateway.session.own_tasks import OwnTasks
from gateway.web.problems import PROBLEMS
from gateway.web.relay import request_of

_log = logging.getLogger("gateway.admin")

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"

_MOST_LISTED = 1000
"""Sessions in one answer. Longer ones would be no use to anybody, and held by two processes."""

_WHOSE: dict[type[Selector], str] = {
    OneSession: "one id",
    OnePerson: "a person",
    OneProvider: "a provider",
    Everybody: "everybody",
}
"""For the audit log, which is told nothing of what the request itself says."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of an operator, past the guard: what was asked for, and from where."""

    method: str
    target: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the listener says: `fields` are those of this answer alone."""

    status: int
    content_type: bytes
    body: bytes
    fields: Fields = ()


CarryOut = Callable[[Asked], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may administrate: whoever shows the token; without one, this machine."""

    token: AdminToken | None
    only_this_machine: bool


class AdminDesk:
    """Judges requests below `/admin/` and has those of operators carried out."""

    def __init__(
        self, access: Callable[[], Access], carry_out: CarryOut, audit: Callable[[], AuditLog]
    ) -> None:
        """`access` and `audit` are asked for at every request: a reload may change them."""
        self._access = access
        self._carry_out = carry_out
        self._audit = audit

    async def answer(self, scope: Scope) -> Answer:
        """Return the answer to a request, a refusal included."""
        request = request_of(scope)
        asked = Asked(request.method, request.raw_target, request.peer)
        access = self._access()
        try:
            require_operator(
                request, token=access.token, only_this_machine=access.only_this_machine
            )
            read_order(asked.method, asked.target)
        except Refused as refused:
            caller = Caller(address=asked.address)
            event = AuditEvent(
                AuditName.REQUEST_REFUSED, Outcome.REFUSED, refused.code, by="admin", caller=caller
            )
            self._audit().record(event)
            return _problem(refused)
        try:
            return await self._carry_out(asked)
        except Unavailable as failure:
            self._audit().record(_carried_out(asked, Outcome.FAILURE, failure.code))
            return _problem(failure)


class Orders:
    """Carries out what an operator asks for."""

    def __init__(
        self, administration: Administration, clock: Clock, audit: AuditLog, own_tasks: OwnTasks
    ) -> None:
        self._own_tasks = own_tasks
        self._administration = administration
        self._clock = clock
        self._audit = audit

    async def carry_out(self, asked: Asked) -> Answer:
        """Return the answer. Raises nothing: who waits for it may be another process.

        An operator who waits no longer has ordered it all the same.
        """
        return await self._own_tasks.run(self._carry_out(asked))

    async def _carry_out(self, asked: Asked) -> Answer:
        try:
            order = read_order(asked.method, asked.target)
            members, note = await self._result(order, Caller(address=asked.address))
        except GatewayError as failure:
            self._audit.record(_carried_out(asked, Outcome.FAILURE, failure.code))
            return _problem(failure)
        except Exception:  # noqa: BLE001  a bug, and it must still be answered
            _log.exception("internal error")
            return _problem(GatewayError(Code.INTERNAL))
        self._audit.record(_carried_out(asked, Outcome.SUCCESS, note=note))
        return Answer(200, JSON, _octets(members))

    async def _result(self, order: Order, caller: Caller) -> tuple[dict[str, object], str]:
        """Return what to answer, and what to write down."""
        if isinstance(order, Look):
            found = await self._administration.find(order.at)
            if not isinstance(order.at, OneSession):
                listed = [self._described(one) for one in found[:_MOST_LISTED]]
                left_out = len(found) - len(listed)
                return {"sessions": listed, "left_out": left_out}, f"listed {len(listed)} sessions"
            if not found:
                raise Refused(Code.SESSION_NOT_FOUND)
            return self._described(found[0]), "showed a session"
        done = await self._administration.end(order.whose, caller)
        if isinstance(order.whose, OneSession) and not done.ended:
            raise Refused(Code.SESSION_NOT_FOUND)
        members: dict[str, object] = {"ended": done.ended}
        note = f"ended {done.ended} sessions of {_WHOSE[type(order.whose)]}"
        if isinstance(order.whose, OneProvider | Everybody):
            members["unreadable"] = done.unreadable
            note += f", met {done.unreadable} that do not open"
        return members, note

    def _described(self, listed: Listed) -> dict[str, object]:
        facts = listed.facts
        now = self._clock.now()
        return {
            "session_id": facts.session_id,
            "provider": facts.provider,
            "issuer": facts.issuer,
            "subject": facts.subject,
            "created_at": int(facts.created_at),
            "last_seen": int(facts.last_seen),
            "expires_in": int(facts.absolute_deadline - now),
            "idle_expires_in": int(facts.idle_deadline - now),
            "address": facts.address,
            "user_agent": facts.user_agent,
        }


def _carried_out(
    asked: Asked, outcome: Outcome, code: Code | None = None, note: str = ""
) -> AuditEvent:
    caller = Caller(address=asked.address)
    name = AuditName.ADMIN_CARRIED_OUT
    return AuditEvent(name, outcome, code, by="admin", caller=caller, note=note)


def _problem(failure: GatewayError) -> Answer:
    """Return a failure as a problem document (RFC 9457)."""
    problem = PROBLEMS[failure.code]
    more: Fields = ()
    if isinstance(failure, Unavailable):
        more = ((b"retry-after", str(failure.retry_after).encode()),)
    elif isinstance(failure, Refused):
        more = failure.fields
    members: dict[str, object] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": failure.code.value,
    }
    if failure.detail or problem.advice:
        members["detail"] = failure.detail or problem.advice
    return Answer(problem.status, PROBLEM_JSON, _octets(members), more)


def _octets(members: dict[str, object]) -> bytes:
    return json.dumps(members).encode()
