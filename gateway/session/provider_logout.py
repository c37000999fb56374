"""Sessions end because their provider says so: Back-Channel and Front-Channel Logout 1.0.

The order of the steps makes a logout token safe to repeat (ADR 0023). Whatever fails, nothing of
it is remembered as done, the provider is told 503, and the same token works when it comes again.
(Where the mark is what fails, the sessions are ended nevertheless.)

    refuse a token that was used · leave a mark for logins under way · end what is there · remember
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from gateway.errors import Code, Refused, Unavailable
from gateway.oidc.client import Kind
from gateway.oidc.keys import SignedToken
from gateway.oidc.logout_token import LogoutOrder, check_logout_token, check_unverified
from gateway.ports import Caller
from gateway.secret import LogoutToken
from gateway.session.ending import end_each
from gateway.session.indexes import Listed
from gateway.session.leftovers import kept_for
from gateway.session.manager import Sessions
from gateway.session.model import Facts
from gateway.session.own_tasks import OwnTasks
from gateway.session.provider import Provider

_CLOCKS_DIFFER = 60.0  # seconds between replicas' clocks; a token is remembered so much longer

_SAME_FAULT = {
    Code.ID_TOKEN_SIGNATURE: Code.LOGOUT_TOKEN_SIGNATURE,
    Code.ID_TOKEN_MALFORMED: Code.LOGOUT_TOKEN_MALFORMED,
}


class ProviderLogout:
    """Carries out what providers order, on any replica, without any cookie (J16, J19)."""

    def __init__(
        self, providers: Mapping[str, Provider], sessions: Sessions, own_tasks: OwnTasks
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._own_tasks = own_tasks

    def provider(self, name: str) -> Provider:
        """Return the OpenID provider of this name; `Refused(LOGIN_PROVIDER_UNKNOWN)` if none."""
        provider = self._providers.get(name)
        if provider is None or provider.client.kind is not Kind.OIDC:
            raise Refused(Code.LOGIN_PROVIDER_UNKNOWN)
        return provider

    def check_unverified(self, provider: Provider, token: LogoutToken) -> None:
        """Refuse at no cost what `back_channel` would refuse at the cost of a signature check."""
        check_unverified(token, provider.client, now=self._sessions.clock.now())

    async def back_channel(self, provider: Provider, token: LogoutToken, caller: Caller) -> int:
        """Carry out a logout token (Back-Channel Logout section 2.6, 2.7); returns how many ended.

        None may be there (any more): that is a success too (J15). Raises `Refused` with a
        `LOGOUT_TOKEN_…` code, or `Unavailable`, after which the same token may come again.
        """
        client = provider.client
        order = check_logout_token(
            await self._signed(provider, token), client, now=self._sessions.clock.now()
        )
        # A provider that waits no longer has ordered it all the same.
        return await self._own_tasks.run(self._carry_out(provider, order, caller))

    async def _carry_out(self, provider: Provider, order: LogoutOrder, caller: Caller) -> int:
        client = provider.client
        store, once = self._sessions.store, _once(client.client_id, order)
        if await store.claimed(once):
            raise Refused(Code.LOGOUT_TOKEN_REPLAYED)
        try:
            await self._sessions.tombstones.put(self._same_client(provider), order)
        finally:
            # Even when no mark could be left: a store that is full takes none, but forgets what it
            # is told to. The fault is answered all the same, for a login under way may be missed.
            ended = await self._end(provider, order, caller)
        left = order.expires_at + client.leeway - self._sessions.clock.now()
        if not await store.claim(once, ttl=max(left, 0.0) + _CLOCKS_DIFFER):
            raise Refused(Code.LOGOUT_TOKEN_REPLAYED, note="another replica has just got it too")
        return ended

    async def _end(self, provider: Provider, order: LogoutOrder, caller: Caller) -> int:
        found = await self._of_order(provider, order)
        now = self._sessions.clock.now()

        def keep(facts: Facts) -> float:
            offline = self._providers[facts.provider].client.is_offline
            return 0.0 if offline else kept_for(facts, now)

        return await end_each(
            self._sessions, found, by="backchannel_logout", caller=caller, keep=keep
        )

    async def front_channel(self, provider: Provider, sid: str, caller: Caller) -> int:
        """End the sessions of a provider's session; returns how many ended. Raises `Unavailable`.

        Nothing proves who sent it, so nothing is done that another login does not mend: no token
        is revoked (H17).
        """
        return await self._own_tasks.run(self._end_framed(provider, sid, caller))

    async def _end_framed(self, provider: Provider, sid: str, caller: Caller) -> int:
        found = await self._of_sid(provider, sid)
        return await end_each(self._sessions, found, by="frontchannel_logout", caller=caller)

    async def _signed(self, provider: Provider, token: LogoutToken) -> SignedToken:
        try:
            return await provider.verify(token)
        except Refused as refusal:
            code = _SAME_FAULT.get(refusal.code)
            if code is None:  # what the provider publishes is at fault, not who sent the token
                raise Unavailable(Code.PROVIDER_UNAVAILABLE, note=refusal.note) from refusal
            raise Refused(code, note=refusal.note) from None

    async def _of_order(self, provider: Provider, order: LogoutOrder) -> list[Listed]:
        """Return the sessions an order is about (J12)."""
        if order.sid is not None:
            found = await self._of_sid(provider, order.sid)
            return [one for one in found if order.subject in (None, one.facts.subject)]
        if order.subject is None:
            return []
        found = await self._sessions.indexes.of_user(order.issuer, order.subject)
        return self._of_client(provider, found)

    async def _of_sid(self, provider: Provider, sid: str) -> list[Listed]:
        found = await self._sessions.indexes.of_sid(provider.client.issuer, sid)
        return self._of_client(provider, found)

    def _of_client(self, provider: Provider, found: Sequence[Listed]) -> list[Listed]:
        """Leave out sessions of another client at the same issuer: it was not for that one."""
        names = self._same_client(provider)
        return [one for one in found if one.facts.provider in names]

    def _same_client(self, provider: Provider) -> list[str]:
        """Return the names under which this client of this issuer is configured.

        It may have several, with other scopes each, say. The provider knows but one client: what it
        says of it is about the sessions of every name.
        """
        whose = (provider.client.issuer, provider.client.client_id)
        return [
            name
            for name, one in self._providers.items()
            if (one.client.issuer, one.client.client_id) == whose
        ]


def _once(client_id: str, order: LogoutOrder) -> str:
    """Return the name under which a token is remembered; a `jti` may hold anything."""
    octets = json.dumps([client_id, order.issuer, order.jti]).encode()
    return f"logout:{hashlib.sha256(octets).hexdigest()}"
