"""Secrets do not get into logs, at any level, whatever happens (D14, ASVS 16.2.5)."""

import io
import logging
from collections.abc import Iterator

import pytest

from gateway.adapters.audit_log import configure_logging
from gateway.errors import Code, Unavailable
from tests.support.world import CLIENT_SECRET, LOGIN, RING_KEY, SESSION, World


@pytest.fixture
def everything() -> Iterator[io.StringIO]:
    """Everything any library logs while the test runs, at debug level."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging("debug", stream)
    yield stream
    root.handlers, root.level = handlers, level


async def test_a_whole_visit_at_debug_level_writes_no_secret(everything: io.StringIO) -> None:
    world = World()
    browser = await world.logged_in()
    secrets = {browser.cookies[SESSION].value, browser.cookies[LOGIN].value}
    await browser.fetch("/api/x", headers={"authorization": "Bearer from-the-browser"})
    await browser.fetch("/api/x?access_token=in-the-query")
    world.clock.advance(280)
    await browser.fetch("/api/x")
    world.api.failure = Unavailable(Code.UPSTREAM_CONNECT)
    await browser.fetch("/api/x")
    world.provider.down = True
    await browser.navigate("/bff/login")
    await browser.fetch("/bff/logout", "POST")
    await world.gateway.revocations.run_due()
    world.provider.down = False
    world.clock.advance(600)
    await world.gateway.revocations.run_due()
    assert world.provider.revoked
    await world.revocations.put(b"1.not-sealed", due_in=0.0)
    await world.gateway.revocations.run_due()
    await browser.navigate("/bff/login")
    secrets |= {browser.cookies[SESSION].value, browser.cookies[LOGIN].value}
    await browser.navigate("/bff/callback/main?code=made-up-code&state=made-up-state")
    secrets |= {RING_KEY, CLIENT_SECRET, "from-the-browser", "in-the-query", "made-up-code"}
    for request in world.provider.requests:
        for name in (b"code_verifier=", b"nonce="):
            if name in request.body:
                secrets.add(request.body.partition(name)[2].partition(b"&")[0].decode())
    secrets |= {parameters["nonce"] for parameters in world.provider.authorizations}
    secrets |= {parameters["state"] for parameters in world.provider.authorizations}
    written = world.audit_text.getvalue() + everything.getvalue()
    assert len(world.audit()) > 8
    for secret in [*secrets, *world.issued()]:
        assert len(secret) > 8
        assert secret not in written
    # Nor who it was: the audit log has pseudonyms.
    assert "ada@example.org" not in written
    assert '"ada"' not in written


async def test_a_line_break_in_a_request_is_one_line_in_the_log() -> None:
    world = World()
    forged = b'evil\r\n{"event":"login.succeeded"}\r\n'
    fields = [(b"host", b"app.example"), (b"user-agent", forged), (b"x-request-id", forged)]
    await world.raw("GET", b"/api/x", fields, peer=forged.decode())
    await world.raw("GET", b"/bff/callback/x%0d%0a", fields, peer=forged.decode())
    assert len(world.audit_text.getvalue().splitlines()) == 3  # configuration and two refusals
    assert world.audit("login.succeeded") == []
    assert "evil" not in world.audit_text.getvalue()


async def test_one_person_has_one_pseudonym_and_two_have_two() -> None:
    world = World()
    await world.logged_in()
    await world.logged_in()
    world.provider.subject = "grace"
    await world.logged_in()
    users = [line["user"] for line in world.audit("login.succeeded")]
    assert users[0] == users[1] != users[2]
    assert all(len(user) == 16 for user in users)


async def test_a_bug_is_logged_with_its_trace_and_without_values(everything: io.StringIO) -> None:
    world = World()
    browser = await world.logged_in()

    async def broken(*_: object) -> None:
        token = world.provider.issued[0]
        raise KeyError(len(token))

    world.api.send = broken  # type: ignore[method-assign,assignment]  # a bug, on purpose
    answer = await browser.fetch("/api/x")
    assert answer.status == 500
    assert answer.json()["code"] == "internal"
    assert "KeyError" not in answer.text
    assert "KeyError" in everything.getvalue()
    for value in world.issued():
        assert value not in everything.getvalue()
