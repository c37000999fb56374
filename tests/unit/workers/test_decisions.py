"""What the supervisor decides."""

from dataclasses import replace

import pytest

from gateway.edge.cookies import CookiePolicy
from gateway.secret import StoreUrl
from gateway.settings import AdminListen, EmbeddedStore, Settings
from gateway.workers.decisions import (
    can_end_sessions_of,
    cores,
    is_same_embedded_store,
    is_traced,
    kept_until_restart,
    lowest_free,
    pause_before_restart,
)
from tests.support.world import settings_of


@pytest.mark.parametrize(
    ("processors", "quota", "expected"),
    [
        (8, "", 8),  # no control group
        (8, "max 100000", 8),
        (8, "200000 100000\n", 2),
        (8, "150000 100000", 2),  # a core and a half keeps two busy
        (8, "50000 100000", 1),
        (2, "800000 100000", 2),  # never more than there are
        (8, "200000 0", 8),
        (8, "nonsense", 8),
        (8, "-1 100000", 8),
        (0, "", 1),
    ],
)
def test_auto_means_the_cores_one_may_use(processors: int, quota: str, expected: int) -> None:
    assert cores(processors, quota) == expected


def test_who_dies_after_a_steady_life_is_replaced_at_once() -> None:
    assert pause_before_restart(0) == 0.0


def test_pauses_double_and_end_at_five_seconds() -> None:
    assert [pause_before_restart(deaths) for deaths in range(1, 9)] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0,
    ]  # fmt: skip
    assert pause_before_restart(10**9) == 5.0


@pytest.mark.parametrize(
    ("taken", "expected"), [(set(), 0), ({0, 1}, 2), ({1, 2}, 0), ({0, 2}, 1), ({5}, 0)]
)
def test_numbers_of_workers_stay_small_and_belong_to_one(taken: set[int], expected: int) -> None:
    assert lowest_free(taken) == expected


OLD = settings_of()


def test_most_of_the_configuration_changes_by_a_reload() -> None:
    assert kept_until_restart(OLD, OLD) == ()
    new = replace(
        OLD,
        listen=replace(OLD.listen, workers=7, accepted_hosts=frozenset({"other"})),
        routes=(),
        clients=(),
        keys=(),
        store=settings_of({"store": {"url": "redis://elsewhere:1/0"}}).store,
        dangers=("dangerously_something",),
    )
    assert kept_until_restart(OLD, new) == ()


EMBEDDED = replace(OLD, embedded_store=EmbeddedStore("/var/lib/gateway", OLD.store))


@pytest.mark.parametrize(
    ("new", "key"),
    [
        (replace(OLD, listen=replace(OLD.listen, host="::1")), "listen.host"),
        (replace(OLD, listen=replace(OLD.listen, port=1)), "listen.port"),
        (replace(OLD, admin=AdminListen("::1", OLD.admin.port)), "admin.host"),
        (replace(OLD, admin=AdminListen(OLD.admin.host, 1)), "admin.port"),
        (EMBEDDED, "store.url"),
    ],
)
def test_sockets_and_the_embedded_store_stay_until_a_restart(new: Settings, key: str) -> None:
    assert kept_until_restart(OLD, new) == (key,)
    assert kept_until_restart(new, OLD) == (key,)


def test_an_embedded_store_is_the_same_if_its_directory_is() -> None:
    moved = replace(OLD, embedded_store=EmbeddedStore("/elsewhere", OLD.store))
    tuned = replace(EMBEDDED, embedded_store=EmbeddedStore("/var/lib/gateway", EMBEDDED.store))
    assert is_same_embedded_store(EMBEDDED, tuned)
    assert not is_same_embedded_store(EMBEDDED, moved)
    assert not is_same_embedded_store(EMBEDDED, OLD)
    assert is_same_embedded_store(OLD, OLD)


SECOND = settings_of({"keys": [{"id": "k-2027", "secret": {"env": "RING_KEY"}}]}).keys[0]


(MAIN,) = OLD.clients
MORE_PROVIDERS = (replace(MAIN, provider="more"), MAIN)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (OLD, True),
        (replace(OLD, keys=(SECOND, *OLD.keys)), True),
        (replace(OLD, keys=(SECOND,)), False),  # what the old key sealed stays closed
        (replace(OLD, store=replace(OLD.store, max_connections=1)), True),
        (replace(OLD, store=replace(OLD.store, prefix="other:")), False),
        (replace(OLD, store=replace(OLD.store, url=StoreUrl("redis://elsewhere:1/0"))), False),
        (settings_of({"public_origin": "https://other.example"}), False),
        (replace(OLD, cookies=CookiePolicy(secure=False)), False),  # another name
        (replace(OLD, clients=MORE_PROVIDERS), True),
        (replace(OLD, clients=MORE_PROVIDERS[:1]), False),  # the sessions' provider is gone
        (replace(OLD, clients=(replace(MAIN, issuer="https://other.example"),)), False),  # E16
        (replace(OLD, clients=(replace(MAIN, client_id="other"),)), True),
    ],
)
def test_sessions_can_be_ended_by_who_is_sent_finds_opens_and_takes_them(
    new: Settings, *, expected: bool
) -> None:
    assert can_end_sessions_of(OLD, OLD.store, new, new.store) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tpython\nState:\tt (tracing stop)\nTracerPid:\t4711\nUid:\t0\n", True),
        ("Name:\tpython\nState:\tT (stopped)\nTracerPid:\t0\nUid:\t0\n", False),
        ("", False),
    ],
)
def test_a_debugger_is_known_by_the_process_status(status: str, *, expected: bool) -> None:
    assert is_traced(status) is expected
