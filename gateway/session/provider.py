"""One identity provider as the flows see it: what it publishes, and what it answers.

Metadata and keys are fetched when first needed, so that the gateway starts without its providers
and heals when they come back. A copy that was good once is used while a newer one cannot be had,
for a bounded time (F7). Rules are in `oidc/`; here they meet the network and the clock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

from gateway.errors import Code, Refused, Unavailable
from gateway.oidc import claims, metadata, revocation, token_endpoint
from gateway.oidc.back_channel import BackChannelRequest
from gateway.oidc.callback import AuthorizationCode
from gateway.oidc.client import Client, ClientAuth
from gateway.oidc.keys import JwksDocument, KeySet, NoMatchingKey, SignedToken
from gateway.oidc.metadata import Metadata
from gateway.oidc.revocation import Revocation, Verdict
from gateway.oidc.token_endpoint import Grant
from gateway.ports import BackChannel, Clock, Entropy, Jose
from gateway.secret import (
    AccessToken,
    CodeVerifier,
    IdToken,
    LogoutToken,
    RefreshToken,
    UserInfoToken,
)
from gateway.session.model import Facts
from gateway.session.sealing import b64

FRESH_FOR = 3600.0  # seconds a published document is used without asking again
STALE_FOR = 86400.0  # seconds it is used while the provider cannot be asked
RETRY_AFTER = 5.0  # seconds between attempts while it cannot
REFETCHES = 2  # forced key fetches allowed ...
REFETCH_WINDOW = 60.0  # ... in so many seconds: a flood of unknown kids stays ours (F4)

Document = TypeVar("Document")


class Published(Generic[Document]):
    """A document a provider publishes: cached, fetched once at a time, stale for a while."""

    def __init__(self, fetch: Callable[[], Awaitable[Document]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._document: Document | None = None
        self.version = 0  # how many times it has been fetched
        self._fetched_at = 0.0
        self._tried_at = 0.0
        self._failure: Refused | Unavailable | None = None
        self._lock = asyncio.Lock()

    @property
    def latest(self) -> Document | None:
        """The last copy, however old; None before there was one."""
        return self._document

    async def get(
        self, *, newer_than: int | None = None, may_fetch: Callable[[], bool] | None = None
    ) -> Document:
        """Return the document; `newer_than` asks for a later one than that version.

        `may_fetch` is asked once per fetch that such a wish would start; those who wait for a
        fetch under way cost nothing. When it says no, the present copy is returned.

        Raises what fetching raised when there is no copy young enough.
        """
        if (document := self._usable(newer_than)) is not None:
            return document
        async with self._lock:
            if (document := self._usable(newer_than)) is not None:
                return document
            if self._document is not None and may_fetch is not None and not may_fetch():
                return self._document
            return await self._renew()

    def _usable(self, newer_than: int | None) -> Document | None:
        now = self._clock.now()
        if self._document is None:
            self._raise_recent_failure(now)
            return None
        if newer_than is not None:
            return self._document if self.version > newer_than else None
        age = now - self._fetched_at
        if 0 <= age < FRESH_FOR:  # less than nothing: the clock has been set back (F34)
            return self._document
        if 0 <= now - self._tried_at < RETRY_AFTER:
            if age <= STALE_FOR:
                return self._document
            self._raise_recent_failure(now)
        return None

    def _raise_recent_failure(self, now: float) -> None:
        """Answer at once while a provider is known to be down: no stampede on it or on us."""
        if self._failure is not None and 0 <= now - self._tried_at < RETRY_AFTER:
            # Without the frames of those it was raised for before: they would all be kept alive.
            raise self._failure.with_traceback(None)

    async def _renew(self) -> Document:
        try:
            document = await self._fetch()
        except (Refused, Unavailable) as failure:
            self._tried_at = self._clock.now()
            self._failure = failure
            if self._document is None or self._tried_at - self._fetched_at > STALE_FOR:
                raise
            return self._document
        self._document, self._failure = document, None
        self.version += 1
        self._fetched_at = self._tried_at = self._clock.now()
        return document


def provider_of(providers: Mapping[str, "Provider"], facts: Facts) -> "Provider | None":
    """Return the provider a session comes from, if it is still configured.

    By name and issuer: a name that now stands for another issuer must not be shown the old one's
    tokens (E16, RFC 9700 section 4.4).
    """
    return provider_at(providers, facts.provider, facts.issuer)


def provider_at(providers: Mapping[str, "Provider"], name: str, issuer: str) -> "Provider | None":
    """Return the provider of this name, if it still stands for this issuer."""
    provider = providers.get(name)
    return provider if provider is not None and provider.client.issuer == issuer else None


class Provider:
    """One configured provider and our registration there."""

    def __init__(
        self,
        client: Client,
        back_channel: BackChannel,
        jose: Jose,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.client = client
        self._back_channel = back_channel
        self._jose = jose
        self._clock = clock
        self._entropy = entropy
        self._metadata = Published(self._fetch_metadata, clock)
        self._keys = Published(self._fetch_keys, clock)
        self._forced: dict[type, list[float]] = {}  # by kind of token

    async def metadata(self) -> Metadata:
        """Return the provider's endpoints: configured ones, else discovered (F1)."""
        return self.client.endpoints or await self._metadata.get()

    async def exchange(self, code: AuthorizationCode, verifier: CodeVerifier) -> Grant:
        """Spend the authorization code (RFC 6749 section 4.1.3)."""
        published = await self.metadata()
        request = token_endpoint.code_grant(
            self.client, published, code, verifier, self._assertion()
        )
        return await self._grant(request, frozenset(self.client.scopes))

    async def refresh(
        self, published: Metadata, token: RefreshToken, scopes: frozenset[str]
    ) -> Grant:
        """Spend the refresh token; `scopes` is what it was granted for (RFC 6749 section 6).

        The metadata is the caller's to have, since the token is to be spent now or not at all.
        Raises `GrantRefused`, and `Refused` or `Unavailable` when the provider does not answer as
        it should; the latter says by its `effect` whether the token may be spent.
        """
        request = token_endpoint.refresh_grant(
            self.client, published, token, None, self._assertion()
        )
        return await self._grant(request, scopes)

    async def _grant(self, request: BackChannelRequest, asked: frozenset[str]) -> Grant:
        answer = await self._back_channel.send(request)
        return token_endpoint.read_grant(answer, self.client, now=self._clock.now(), asked=asked)

    def cannot_revoke(self) -> bool:
        """Whether it has no endpoint for `revoke`, as far as is known without asking it."""
        known = self.client.endpoints or self._metadata.latest
        return known is not None and known.revocation_endpoint is None

    async def revoke(self, token: RefreshToken) -> Revocation:
        """Give the token back (RFC 7009).

        Raises `Unavailable` when it does not answer, `Refused` when its metadata is of no use.
        """
        published = await self.metadata()
        # Each attempt has an assertion of its own (H4).
        request = revocation.revocation(self.client, published, token, self._assertion())
        if request is None:
            return Revocation(Verdict.NO_ENDPOINT)
        return revocation.read_revocation(await self._back_channel.send(request))

    async def userinfo(self, token: AccessToken, subject: str | None) -> Mapping[str, object]:
        """Return the UserInfo claims for this subject (OpenID Connect Core section 5.3)."""
        published = await self.metadata()
        answer = await self._back_channel.send(claims.userinfo_request(published, token))
        signed = claims.signed_userinfo(answer)
        if signed is None or subject is None:
            return claims.read_userinfo(answer, subject=subject, client=self.client)
        verified = await self.verify(signed)
        return claims.check_signed_userinfo(verified, subject=subject, client=self.client)

    async def verify(self, token: IdToken | UserInfoToken | LogoutToken) -> SignedToken:
        """Check who signed; an unknown key id is worth one look at the keys again (F4)."""
        for algorithm in self.client.id_token_algorithms:
            if algorithm.is_mac and self.client.secret is not None:
                return self._jose.verify_mac(token.reveal(), self.client.secret.reveal(), algorithm)
        keys = await self._keys.get()
        version = self._keys.version
        try:
            return self._jose.verify(token.reveal(), keys, self.client.id_token_algorithms)
        except NoMatchingKey:
            newer = await self._keys.get(
                newer_than=version, may_fetch=partial(self._may_refetch, type(token))
            )
            if newer is keys:
                raise
        return self._jose.verify(token.reveal(), newer, self.client.id_token_algorithms)

    def _may_refetch(self, kind: type) -> bool:
        """Whether a token of this kind may have the keys fetched; each kind has its allowance.

        Anybody can send logout tokens, and must not use up what logins need after a rotation.
        """
        now = self._clock.now()
        lately = [at for at in self._forced.get(kind, ()) if 0 <= now - at < REFETCH_WINDOW]
        allowed = len(lately) < REFETCHES
        self._forced[kind] = [*lately, now] if allowed else lately
        return allowed

    async def _fetch_metadata(self) -> Metadata:
        issuer = self.client.issuer
        request = BackChannelRequest(
            "GET", metadata.discovery_url(issuer), ((b"accept", b"application/json"),)
        )
        return metadata.read_metadata(await self._back_channel.send(request), issuer)

    async def _fetch_keys(self) -> KeySet:
        published = await self.metadata()
        if published.jwks_uri is None:
            raise Refused(Code.PROVIDER_METADATA, note="the provider publishes no jwks_uri")
        request = BackChannelRequest("GET", published.jwks_uri, ((b"accept", b"application/json"),))
        answer = await self._back_channel.send(request)
        if answer.status != 200:  # noqa: PLR2004
            raise Unavailable(Code.PROVIDER_UNAVAILABLE, note=f"JWKS answered {answer.status}")
        keys = self._jose.read_keys(JwksDocument(answer.body))
        if not keys.keys:  # nobody signs with nothing: an accident, and no reason to forget keys
            raise Refused(Code.PROVIDER_METADATA, note="the JWKS has no key that verifies")
        return keys

    def _assertion(self) -> str | None:
        """A fresh client assertion for this one request (H3, H4), where the client uses them."""
        client = self.client
        if client.auth is not ClientAuth.PRIVATE_KEY_JWT or client.private_key is None:
            return None
        about = token_endpoint.assertion_claims(
            client, self._clock.now(), b64(self._entropy.octets(16))
        )
        return self._jose.sign(
            about, client.private_key, client.assertion_algorithm, client.assertion_key_id
        )
