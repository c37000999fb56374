"""The sample API's WebSocket and event stream, which the sample app opens through the gateway."""

import asyncio

import pytest

from tests.support import frames
from tests.support.sample_api import Api
from tests.support.websocket_ends import HANDSHAKE, Endpoint, Opening, ask


async def opened(api: Api, *more: tuple[bytes, bytes], token: str | None = None) -> Opening:
    bearer = (b"authorization", f"Bearer {token or api.token()}".encode())
    return await ask(api.app, b"/live", [*HANDSHAKE, *more, bearer])


async def endpoint(api: Api) -> Endpoint:
    opening = await opened(api)
    assert opening.endpoint is not None
    return opening.endpoint


async def test_what_it_is_told_comes_back() -> None:
    here = await endpoint(Api())
    here.text("hello")
    here.binary(b"\x00" * 70000)
    here.text("frag", fin=False)
    here.more(b"ments", fin=True)
    here.text("")
    await here.until(lambda end: len(end.messages) == 4)
    assert here.messages == ["hello", b"\x00" * 70000, "fragments", ""]


async def test_frames_may_come_octet_by_octet() -> None:
    here = await endpoint(Api())
    for octet in frames.frame(1, b"x" * 300):
        here.raw(bytes([octet]))
    await here.until(lambda end: end.messages == ["x" * 300])


async def test_it_answers_pings_and_closes() -> None:
    here = await endpoint(Api())
    here.ping(b"there?")
    here.close(4000, "enough")
    await here.until(lambda end: end.lost_at_all)
    assert here.closed == (4000, "enough")
    assert [bytes(one.data) for one in here.frames if one.opcode == 10] == [b"there?"]


@pytest.mark.parametrize(
    ("octets", "code"),
    [(frames.frame(1, b"x", masked=False), 1002), (b"\x82\xff" + (1 << 40).to_bytes(8), 1009)],
)
async def test_what_it_cannot_answer_ends_it(octets: bytes, code: int) -> None:
    here = await endpoint(Api())
    here.raw(octets)
    await here.until(lambda end: end.closed)
    assert here.closed == (code, "")


async def test_without_a_token_or_a_handshake_it_stays_http() -> None:
    api = Api()
    assert (await opened(api, token="nonsense")).status == 401
    assert (await opened(api, (b"sec-websocket-key", b"two of them"))).status == 400
    bearer = (b"authorization", f"Bearer {api.token()}".encode())
    assert (await ask(api.app, b"/live", [bearer])).status == 426


async def test_events_are_numbered_from_where_the_browser_was() -> None:
    api = Api()
    octets: list[bytes] = []
    begun = asyncio.Event()

    async def send(message: dict[str, object]) -> None:
        body = message.get("body")
        if isinstance(body, bytes) and body:
            octets.append(body)
            begun.set()

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    headers = [(b"authorization", f"Bearer {api.token()}".encode()), (b"last-event-id", b"41")]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/events",
        "query_string": b"",
        "headers": headers,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    task = asyncio.ensure_future(api.app(scope, receive, send))  # type: ignore[arg-type]  # plain ones
    async with asyncio.timeout(10):
        await begun.wait()
    task.cancel()
    await asyncio.wait({task})
    assert octets[0].startswith(b"id: 42\nevent: tick\ndata: {")
