"""Bringing every system up, logging in at each, and seeing that all of them do the same work."""

import base64
import binascii
import contextlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.figures import Figures
from bench.login import Browser, log_in, many_logins
from bench.plan import SESSIONS
from bench.programs import SYSTEM_CORE, BenchError, free_port, start
from bench.provider_login import NOWHERE, issued_token
from bench.systems import SYSTEMS, Place, System
from bench.traffic import Subject, bodies, orders
from bench.world import World, open_world

_AUDIENCE = "https://api.example/"


@dataclass(slots=True)
class Stage:
    """Everything that is running. `table` has a row for each system, running or not."""

    world: World
    api: Subject
    subjects: list[Subject]
    table: dict[str, Figures]

    def named(self, *keys: str) -> list[Subject]:
        """Return the running ones among these."""
        return [subject for subject in self.subjects if subject.key in keys]

    def without(self, *keys: str) -> list[Subject]:
        """Return all that are running but these."""
        return [subject for subject in self.subjects if subject.key not in keys]


def set_up(
    stack: contextlib.ExitStack, folder: Path, wanted: tuple[System, ...] = SYSTEMS
) -> Stage:
    """Start the world and the systems; what cannot be started has a row that says why."""
    places = {}
    for system in wanted:
        (folder / system.key).mkdir()
        places[system.key] = Place(folder / system.key, free_port())
    uris = [places[one.key].origin + one.callback for one in wanted if one.callback]
    world = open_world(stack, folder, [NOWHERE, *uris])
    stage = Stage(world, _api(world), [], {})
    stage.table["api"] = Figures("api", stage.api.name)
    for system in wanted:
        figures = Figures(system.key, system.name, built=system.built)
        stage.table[system.key] = figures
        try:
            stage.subjects.append(_begin(stack, world, system, places[system.key], figures))
        except BenchError as failure:
            figures.missing = str(failure)
    _add_variants(stage)
    return stage


def _api(world: World) -> Subject:
    place = Place(world.folder, world.api_port)
    bearer = issued_token(world)
    return Subject("api", "the API itself", None, place, None, prefix="", bearer=bearer)


def _begin(
    stack: contextlib.ExitStack, world: World, system: System, place: Place, figures: Figures
) -> Subject:
    if reason := system.missing():
        raise BenchError(reason)
    figures.version = system.version()
    command = system.prepare(world, place)
    program = start(stack, command, place.folder / f"{system.key}.log", SYSTEM_CORE)
    subject = Subject(system.key, system.name, system, place, program)
    browser = Browser(world.issuer)
    if system.login:
        browser = log_in(place.origin, system.login, world.issuer, {})
        more = many_logins(place.origin, system.login, world.issuer, SESSIONS - 1)
        subject.cookies += [browser.cookies(place.origin), *more]
        _refuses_strangers(world, place)
    _same_work(world, subject, browser)
    browser.close()
    time.sleep(0.3)
    memory = program.memory()
    figures.rest, figures.rest_total = memory.largest, memory.total
    return subject


def _refuses_strangers(world: World, place: Place) -> None:
    """Without a session there is no answer of the API's: the login is what opens the way."""
    stranger = Browser(world.issuer)
    page = stranger.fetch(f"{place.origin}/api/orders")
    stranger.close()
    if page.status not in (401, 403) or world.small.encode() in page.body:
        raise BenchError(f"it answered {page.status} to somebody who is not logged in")


def _same_work(world: World, subject: Subject, browser: Browser) -> None:
    origin = subject.place.origin
    for wanted in (orders(world), *bodies(world).values()):
        page = browser.fetch(origin + subject.prefix + wanted.path)
        expected = (wanted.block * (wanted.size // len(wanted.block))).encode()
        if page.status != 200 or page.body != expected:
            raise BenchError(f"{wanted.path} is answered {page.status} with another body")
    page = browser.fetch(f"{origin}{subject.prefix}/token")
    if problem := _problem_of(page.body.decode("ascii", "replace"), world):
        raise BenchError(f"the token that reached the API {problem}")


def _problem_of(token: str, world: World) -> str | None:
    """Say what is wrong with an access token as the API received it."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, binascii.Error, ValueError):
        return "is no JWT"
    if claims.get("iss") != world.issuer or claims.get("aud") != _AUDIENCE:
        return "is not one of the identity provider's for this API"
    if not str(claims.get("sub", "")).startswith("person-"):
        return "is nobody's"
    return None if 900 <= len(token) <= 1200 else f"has {len(token)} octets, not about 1,000"


VARIANTS = ("gateway-new-targets", "gateway-new-heads", "gateway-tls")
"""Rows of the gateway that are asked of the same process in another way."""


def _add_variants(stage: Stage) -> None:
    """Add the gateway once more for each other way to ask it."""
    for subject in stage.named("gateway"):
        name = "this gateway, cached, TLS to the API"
        tls = replace(subject, key="gateway-tls", name=name, prefix="/tls")
        _add(stage, subject, tls, "the same process; certificate checked")
        name = "this gateway, cached, every field block new"
        new = replace(subject, key="gateway-new-heads", name=name, numbered="field")
        built = "the same process; every request and every answer has a field with its own number"
        _add(stage, subject, new, built)
        name = "this gateway, cached, every target new"
        new = replace(subject, key="gateway-new-targets", name=name, numbered="target")
        built = "the same process; every request is for another path, every answer has its number"
        _add(stage, subject, new, built)


def _add(stage: Stage, subject: Subject, variant: Subject, built: str) -> None:
    row = Figures(variant.key, variant.name, stage.table[subject.key].version, built)
    stage.subjects.insert(stage.subjects.index(subject) + 1, variant)
    rows = list(stage.table.items())
    at = [key for key, _ in rows].index(subject.key) + 1
    stage.table = dict([*rows[:at], (variant.key, row), *rows[at:]])
