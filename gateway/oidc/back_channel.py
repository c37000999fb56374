"""One exchange with a provider, as values: rules build the request and judge the answer.

Oidc rules never see the network. `adapters/provider_http.py` carries the request and brings any
complete answer back, whatever its status.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BackChannelRequest:
    """One request from the gateway to a provider. Fields and body may hold credentials."""

    method: str
    url: str
    fields: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    # What it asks for cannot be asked for a second time: its answer is waited for longer.
    is_for_once: bool = False


@dataclass(frozen=True, slots=True)
class BackChannelAnswer:
    """What the provider said: complete, bounded in size, not yet believed."""

    status: int
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    retry_after: int | None = None
