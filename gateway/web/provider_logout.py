"""`/bff/backchannel-logout/{provider}` and `/bff/frontchannel-logout/{provider}`.

Neither looks at a cookie: the first is called by the provider itself, and the second from a frame
on its page, where browsers keep ours back (J4, J19). So there is nothing a cross-site request
could borrow, and both are open to everybody; failures are limited by address (J17).

Two kinds of failure do not count. Claims that are not for us cost no signature check, and other
customers of one provider can have it send us tokens that are meant for them. And nobody but the
provider has a token to deliver twice. Both come from its own address, and must not use up what its
genuine tokens need.
"""

from gateway.edge.headers import framed_page_fields, page_fields
from gateway.edge.messages import Fields, Reply
from gateway.errors import Code, Refused
from gateway.oidc.client import origin_of
from gateway.oidc.logout_token import read_form
from gateway.oidc.parameters import UnreadableParameter, read_parameters
from gateway.ports import Clock
from gateway.session.provider import Provider
from gateway.session.provider_logout import ProviderLogout
from gateway.web import pages
from gateway.web.asking import Asking
from gateway.web.failure_limit import FailureLimit
from gateway.web.site import Site

FRAMES = 500  # that find nothing, from one address within ten seconds

_NOT_COUNTED = frozenset(
    {Code.LOGOUT_TOKEN_CLAIMS, Code.LOGOUT_TOKEN_REPLAYED, Code.LOGOUT_TOO_MANY}
)


class ProviderCalls:
    """What identity providers ask for."""

    def __init__(self, site: Site, logout: ProviderLogout, clock: Clock) -> None:
        self._site = site
        self._logout = logout
        self._limit = FailureLimit(clock)
        # Of its own: what frames of people behind one address do must not silence their provider.
        # A frame that finds nothing is nothing unusual, for the back channel may have been quicker.
        self._frames = FailureLimit(clock, most=FRAMES)

    async def back_channel(self, asking: Asking, name: str) -> Reply:
        """`POST /bff/backchannel-logout/{provider}` (Back-Channel Logout section 2.5, 2.8)."""
        provider = self._logout.provider(name)
        address = asking.caller.address
        try:
            token = read_form(await asking.form())
            self._logout.check_unverified(provider, token)
            self._limit.admit(address)
            await self._logout.back_channel(provider, token, asking.caller)
        except Refused as refusal:
            if refusal.code not in _NOT_COUNTED:
                self._limit.check(address)
                self._limit.failed(address)
            raise
        return Reply(200, page_fields(secure=self._site.origin.is_secure))

    async def front_channel(self, asking: Asking, name: str) -> Reply:
        """`GET /bff/frontchannel-logout/{provider}?iss&sid` (Front-Channel Logout section 2).

        What is missing, wrong or unknown gets the same answer as what was ended: whoever guesses
        learns nothing (J18).
        """
        provider = self._logout.provider(name)
        if not provider.client.frontchannel_logout:
            raise Refused(Code.LOGIN_PROVIDER_UNKNOWN)
        sid = _sid(asking.target.query or b"", provider)
        if sid is not None:  # else it costs nothing: no store is asked
            address = asking.caller.address
            self._frames.admit(address)
            if not await self._logout.front_channel(provider, sid, asking.caller):
                self._frames.failed(address)
        return Reply(200, self._framed_fields(provider), _PAGE)

    def _framed_fields(self, provider: Provider) -> Fields:
        framer = origin_of(provider.client.issuer)
        fields = framed_page_fields(self._site.origin.is_secure, framer)
        return ((b"content-type", pages.HTML), *fields)


_PAGE = pages.page("Logged out", "<p>This application has been told.</p>")


def _sid(query: bytes, provider: Provider) -> str | None:
    """Return the `sid` of a query that names this very issuer beside it, each once; else None."""
    try:
        found = read_parameters(query, frozenset({"iss", "sid"}))
    except UnreadableParameter:
        return None
    return found.get("sid") if found.get("iss") == provider.client.issuer else None
