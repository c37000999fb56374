"""Login CSRF: an attacker's login finished in the victim's browser (E3, E16, RFC 9700 4.7).

The victim would then work in the attacker's account. What must not happen: a session in the
victim's browser, a token request with the attacker's code.
"""

from tests.support.world import SESSION, World


async def attackers_callback(world: World) -> str:
    """A login the attacker took up to the callback, and stopped there."""
    attacker = world.browser()
    started = await attacker.load("https://app.example/bff/login")
    at_provider = await attacker.load(started.one("location") or "")
    return at_provider.one("location") or ""


async def test_a_strangers_callback_logs_nobody_in() -> None:
    world = World()
    url = await attackers_callback(world)
    victim = world.browser()
    answer = await victim.load(url, site="cross-site")
    assert SESSION not in victim.cookies
    assert answer.all("set-cookie") == []
    assert world.provider.seen("/token") == 0


async def test_a_strangers_callback_does_not_disturb_a_live_session_e9() -> None:
    world = World()
    victim = await world.logged_in()
    cookie = victim.cookies[SESSION].value
    url = await attackers_callback(world)
    tokens_before = world.provider.seen("/token")
    landed = await victim.navigate(url, initiator="https://evil.example")
    assert victim.cookies[SESSION].value == cookie
    assert (await victim.fetch("/bff/session")).json()["authenticated"] is True
    assert world.provider.seen("/token") == tokens_before
    assert victim.url == "https://app.example/"  # home, never where the stranger's login led
    assert landed.status == 404  # where nothing is served in this world


async def test_a_victim_with_an_unfinished_login_of_their_own_is_not_fooled_either() -> None:
    world = World()
    victim = world.browser()
    await victim.load("https://app.example/bff/login")
    url = await attackers_callback(world)
    await victim.load(url, site="cross-site")
    assert SESSION not in victim.cookies
    assert world.provider.seen("/token") == 0


async def test_the_attackers_state_with_a_forged_login_cookie_spends_nothing() -> None:
    world = World()
    url = await attackers_callback(world)
    target = url.removeprefix("https://app.example").encode()
    for value in (b"A" * 43, b"", b"x", b"A" * 44):
        cookie = (b"cookie", b"__Host-Http-login=" + value)
        answer = await world.raw("GET", target, [(b"host", b"app.example"), cookie])
        assert answer.all("set-cookie") == []
    assert world.provider.seen("/token") == 0


async def test_the_refusal_is_audited_without_the_state() -> None:
    world = World()
    url = await attackers_callback(world)
    victim = world.browser()
    await victim.load(url, site="cross-site")
    failed = world.audit("login.failed")
    assert [line["code"] for line in failed] == ["state.unknown"]
    assert "state=" not in world.audit_text.getvalue()


async def test_a_login_is_not_started_by_an_image_a_frame_or_a_script_c11() -> None:
    world = World()
    victim = world.browser()
    for mode, dest in (("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")):
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode, "sec-fetch-dest": dest}
        answer = await victim.request(
            "GET", "https://app.example/bff/login", headers, b"", "cross-site"
        )
        assert answer.status == 403
        assert answer.all("set-cookie") == []
        assert answer.one("location") is None
    assert world.audit("login.started") == []
