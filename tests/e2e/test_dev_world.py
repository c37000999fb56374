"""`gateway dev` as a person meets it: the sample app in a real browser, on embedded Valkey."""

import contextlib
import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.dev_world import DevWorld, log_in
from tests.support.pictures import picture, stay_on_the_hop_page
from tests.support.processes import Program, free_port, gateway_command, running

pytestmark = pytest.mark.e2e


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def test_the_sample_app_from_login_to_logout(
    page: Page, context: BrowserContext, dev_world: DevWorld
) -> None:
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "console",
        lambda line: failures.append(line.text) if "Content Security Policy" in line.text else None,
    )
    log_in(page, dev_world)
    expect(page.get_by_text("ada@example.com").first).to_be_visible()
    # The API saw a bearer token; what it shows of it is masked.
    expect(page.get_by_text("Bearer <masked").first).to_be_visible()
    # The proof panel has looked everywhere a script can look.
    expect(page.get_by_text("No token found")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Read orders").click()
    expect(page.get_by_text("200").first).to_be_visible()
    page.get_by_role("button", name="Read reports").click()
    expect(page.get_by_text("scope.insufficient").first).to_be_visible()
    page.get_by_role("button", name="Stream").click()
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("No token found")).to_be_visible()
    # A reload keeps the session, and a deep address is the app's own (history fallback).
    page.goto(f"{dev_world.home}/about")
    page.reload()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    (cookie,) = [c for c in context.cookies() if c["name"] == "__Host-Http-session"]
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in").first).to_be_visible()
    assert [c for c in context.cookies() if c["name"].startswith("__Host-Http-")] == []
    kept = ("name", "value", "domain", "path", "secure", "httpOnly", "sameSite")
    old: Any = {name: cookie[name] for name in kept}  # type: ignore[literal-required]  # listed above
    context.add_cookies([old])
    page.goto(dev_world.home)
    expect(page.get_by_role("button", name="Log in").first).to_be_visible()
    assert failures == []


def test_every_page_a_person_may_meet_fits_a_laptop_and_a_phone(
    page: Page, dev_world: DevWorld
) -> None:
    """Look at them: `build/screenshots/sample-…`."""
    page.goto(dev_world.home)
    expect(page.get_by_role("button", name="Log in").first).to_be_visible()
    picture(page, "sample-1-welcome")
    page.get_by_role("button", name="Log in").first.click()
    page.wait_for_url(f"{dev_world.issuer}/**")
    picture(page, "sample-2-login")
    picture(page, "sample-2-login", dark=True)
    stay_on_the_hop_page(page, f"{dev_world.home}/")
    page.get_by_role("button", name="Ada Lovelace").click()
    page.wait_for_url(f"{dev_world.home}/bff/callback/**")
    expect(page.get_by_text("One moment")).to_be_visible()
    picture(page, "sample-3-hop")
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_text("Bearer <masked").first).to_be_visible()
    expect(page.get_by_text("No token found")).to_be_visible()
    picture(page, "sample-4-logged-in")
    page.get_by_role("button", name="Read orders").click()
    page.get_by_role("button", name="Read reports").click()
    expect(page.get_by_text("scope.insufficient").first).to_be_visible()
    picture(page, "sample-5-after-calls")
    picture(page, "sample-5-after-calls", dark=True)
    page.goto(f"{dev_world.home}/nowhere")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Nothing here")
    picture(page, "sample-6-no-such-page")
    page.goto(f"{dev_world.home}/bff/login?return_to=https://evil.example/")
    expect(page.get_by_text("login.return_to")).to_be_visible()
    picture(page, "sample-7-error")
    picture(page, "sample-7-error", dark=True)


def test_logging_out_at_the_provider_logs_out_of_the_app_j16(
    page: Page, context: BrowserContext, dev_world: DevWorld
) -> None:
    log_in(page, dev_world)
    at_provider = context.new_page()
    at_provider.goto(dev_world.issuer)
    expect(at_provider.get_by_text("is told when you log out here")).to_be_visible()
    at_provider.get_by_role("button", name="Log out here").click()
    at_provider.get_by_role("button", name="Log out").click()
    expect(at_provider.get_by_text("You are logged out")).to_be_visible()
    page.goto(dev_world.home)
    expect(page.get_by_role("button", name="Log in").first).to_be_visible()
    dev_world.program.wait_for("backchannel_logout")


def test_a_session_ended_elsewhere_is_said_kindly_and_starts_no_loop(
    browser: Browser, page: Page, dev_world: DevWorld
) -> None:
    log_in(page, dev_world, "Grace Hopper")
    other = browser.new_context()
    phone = other.new_page()
    log_in(phone, dev_world, "Grace Hopper")
    phone.get_by_role("button", name="End all others").click()
    expect(phone.get_by_role("button", name="End all others")).to_be_disabled()
    page.get_by_role("button", name="Read orders").click()
    expect(page.get_by_role("button", name="Log in").first).to_be_visible()
    assert page.url.startswith(dev_world.home)
    expect(phone.get_by_role("button", name="Log out")).to_be_visible()
    other.close()


def test_two_tabs_log_in_at_once(page: Page, context: BrowserContext, dev_world: DevWorld) -> None:
    second = context.new_page()
    for tab in (page, second):
        tab.goto(f"{dev_world.home}/bff/login")
    for tab in (page, second):
        if tab.url.startswith(dev_world.issuer):
            tab.get_by_role("button", name="Ada Lovelace").click()
        tab.wait_for_url(f"{dev_world.home}/**")
    for tab in (page, second):
        tab.reload()
        expect(tab.get_by_role("button", name="Log out")).to_be_visible()


def test_another_person_in_another_tab_is_said(
    page: Page, context: BrowserContext, dev_world: DevWorld
) -> None:
    log_in(page, dev_world)
    second = context.new_page()
    second.goto(f"{dev_world.home}/bff/login?prompt=login")
    second.get_by_role("button", name="Grace Hopper").click()
    second.wait_for_url(f"{dev_world.home}/**")
    page.get_by_role("button", name="Read orders").click()
    expect(page.get_by_text("You are now Grace Hopper")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")


def test_who_refused_a_call_and_how_it_is_written_is_shown(page: Page, dev_world: DevWorld) -> None:
    log_in(page, dev_world, "Grace Hopper")
    page.get_by_role("button", name="Read reports").click()
    expect(page.get_by_text("The gateway did not pass this on")).to_be_visible()
    page.get_by_role("button", name="Place an order").click()
    expect(page.get_by_text("The API refused")).to_be_visible()
    page.get_by_text("This call in code").click()
    expect(page.get_by_text('await fetch("/api/orders"')).to_be_visible()


def test_health_and_metrics_say_what_happened(page: Page, dev_world: DevWorld) -> None:
    log_in(page, dev_world)
    with urllib.request.urlopen(f"{dev_world.admin}/readyz") as answer:  # noqa: S310  loopback
        assert json.load(answer)["status"] == "ready"
    with urllib.request.urlopen(f"{dev_world.admin}/metrics") as answer:  # noqa: S310  loopback
        text = answer.read().decode()
    assert 'event="login.succeeded"' in text
    assert "gateway_request_seconds_count" in text
    assert 'gateway_requests_total{status="2xx"}' in text


def bearer(page: Page) -> str:
    """Call the API and return what it saw of the token: its length and the start of its hash."""
    status, answer = page.evaluate(
        """async () => {
          const answer = await fetch("/api/echo", {headers: {"X-CSRF": "1"}});
          return [answer.status, await answer.text()];
        }"""
    )
    assert status == 200, answer
    fields = dict(json.loads(answer)["headers"])
    return str(fields["authorization"])


def until_another(page: Page, old: str) -> str:
    """Call the API until the gateway has fetched another token."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (new := bearer(page)) != old:
            return new
        time.sleep(0.5)
    raise AssertionError("no refresh in a minute")


@contextlib.contextmanager
def started(command: list[str], log: Path, ports: list[int]) -> Iterator[Program]:
    """Run the development world, and end it as a person does."""
    program = Program(command, log)
    try:
        program.wait_until_answering(f"http://127.0.0.1:{ports[3]}/readyz")
        yield program
    finally:
        code = program.stop(signal.SIGINT)
    assert code == 0
    assert "Traceback" not in program.output
    assert "starting it again" not in program.output


def test_sessions_survive_a_restart_and_ctrl_c_stops_everything(
    browser: Browser, tmp_path: Path
) -> None:
    ports = [free_port() for _ in range(4)]
    options = ("--port", "--provider-port", "--api-port", "--admin-port")
    arguments = [word for pair in zip(options, map(str, ports), strict=True) for word in pair]
    arguments += ["--directory", str(tmp_path / "state"), "--token-lifetime", "12"]
    command = gateway_command("dev", *arguments)
    home, issuer = f"http://localhost:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    context = browser.new_context()
    page = context.new_page()
    with started(command, tmp_path / "first", ports) as program:
        log_in(page, DevWorld(home, issuer, "", program))
        first = bearer(page)
    with started(command, tmp_path / "second", ports) as program:
        page.goto(home)
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        second = until_another(page, until_another(page, first))  # each refresh token works once
        program.wait_for("token.refreshed", times=2)
        # Single sign-on, in another tab: nobody is asked who they are.
        tab = context.new_page()
        tab.goto(issuer)
        expect(tab.get_by_role("heading", name="Logged in as Ada Lovelace")).to_be_visible()
        tab.goto(f"{home}/bff/login")
        tab.wait_for_url(f"{home}/")
        tab.close()
    with started(command, tmp_path / "third", ports) as program:
        page.goto(home)
        assert until_another(page, second) != first
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("button", name="Log in").first).to_be_visible()
        assert page.url.startswith(home)
        page.goto(issuer)
        expect(page.get_by_text("Nobody is logged in.")).to_be_visible()
    context.close()


def test_a_damaged_state_is_begun_anew_with_a_line_saying_so(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(4)]
    options = ("--port", "--provider-port", "--api-port", "--admin-port")
    arguments = [word for pair in zip(options, map(str, ports), strict=True) for word in pair]
    memory = tmp_path / "state" / f"provider-{ports[1]}" / "memory.json"
    memory.parent.mkdir(parents=True)
    memory.write_text('{"version": 1, "grants": [')
    command = gateway_command("dev", *arguments, "--directory", str(tmp_path / "state"))
    with started(command, tmp_path / "log", ports) as program:
        (line,) = [line for line in program.output.splitlines() if "Begun anew" in line]
    assert str(memory) in line
    assert json.loads(memory.read_text())["grants"] == []


def test_an_answer_posted_by_the_provider_logs_in_as_well_b4(
    browser: Browser, tmp_path: Path
) -> None:
    """response_mode=form_post: a cross-site POST, on which no Lax cookie would travel."""
    ports = [free_port() for _ in range(4)]
    options = ("--port", "--provider-port", "--api-port", "--admin-port")
    arguments = [word for pair in zip(options, map(str, ports), strict=True) for word in pair]
    command = gateway_command("dev", *arguments, "--directory", str(tmp_path / "state"))
    environ = {"GATEWAY__PROVIDERS__DEV__RESPONSE_MODE": "form_post"}
    context = browser.new_context()
    page = context.new_page()
    posted: list[str] = []
    page.on("request", lambda one: posted.append(one.url) if one.method == "POST" else None)
    with running(command, tmp_path / "log", environ) as program:
        program.wait_until_answering(f"http://127.0.0.1:{ports[3]}/readyz")
        world = DevWorld(
            f"http://localhost:{ports[0]}", f"http://127.0.0.1:{ports[1]}", "", program
        )
        log_in(page, world)
        assert f"{world.home}/bff/callback/dev" in posted
        page.reload()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        (cookie,) = [c for c in context.cookies() if c["name"] == "__Host-Http-login"]
        assert cookie["sameSite"] == "None"
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("button", name="Log in").first).to_be_visible()
    context.close()
