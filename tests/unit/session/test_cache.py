"""Opened sessions in memory: when they are believed, and the longer list of when they are not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.ports import LookupId, StoredRecord
from gateway.secret import AccessToken, SessionHandle
from gateway.session.cache import CHECKED_AGAIN, OVERHEAD, Origin, SessionCache
from gateway.session.model import Facts, Session, SessionId, Tokens

NOW = 1000.0
FACTS = Facts(
    session_id=SessionId("id"),
    provider="main",
    issuer="https://id.example",
    subject="ada",
    sid=None,
    created_at=NOW,
    last_seen=NOW,
    idle_deadline=NOW + 1800,
    absolute_deadline=NOW + 43200,
    auth_time=None,
    acr=None,
    user={},
)


class Watched:
    """What the store says about its link."""

    def __init__(self) -> None:
        self.now = True

    def __call__(self) -> bool:
        return self.now


def session(name: str = "a", facts: Facts = FACTS) -> Session:
    tokens = Tokens(AccessToken(f"token of {name}"), NOW + 300, NOW, frozenset())
    handle = SessionHandle(name.encode().rjust(32, b"."))
    return Session(handle, LookupId(f"lookup-{name}"), 1, facts, tokens)


def origin(text: bytes = b"sealed", generation: int = 1) -> Origin:
    return Origin.of(StoredRecord(generation, text))


def keep(cache: SessionCache, cookie: str, found: Session, now: float = NOW) -> None:
    with cache.reading(found.lookup) as reading:
        cache.keep(reading, cookie, found, origin(), now)


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def cache(watched: Watched) -> SessionCache:
    return SessionCache(watched, 1024 * 1024)


def test_what_was_kept_is_found_by_the_very_same_cookie(cache: SessionCache) -> None:
    keep(cache, "cookie", session())
    assert cache.find("cookie", NOW) == session()
    for other in ("cookie ", "Cookie", "cooki", "", "cookie\x00"):
        assert cache.find(other, NOW) is None
        assert cache.recall(other) is None


def test_nothing_is_found_while_the_store_is_not_watched(
    cache: SessionCache, watched: Watched
) -> None:
    keep(cache, "cookie", session())
    watched.now = False
    assert cache.find("cookie", NOW) is None


def test_what_was_kept_while_the_store_was_not_watched_is_never_believed(
    cache: SessionCache, watched: Watched
) -> None:
    """It may have changed between the read and the proof."""
    watched.now = False
    keep(cache, "cookie", session())
    watched.now = True
    assert cache.find("cookie", NOW) is None
    opened = cache.recall("cookie")
    assert opened is not None
    assert opened.origin == origin()


@pytest.mark.parametrize(
    ("facts", "ends_at"),
    [
        (replace(FACTS, idle_deadline=NOW + 10), NOW + 10),
        (replace(FACTS, absolute_deadline=NOW + 20), NOW + 20),
        (FACTS, NOW + CHECKED_AGAIN),
    ],
)
def test_deadlines_hold_for_hits_too_d4_d5(
    cache: SessionCache, facts: Facts, ends_at: float
) -> None:
    keep(cache, "cookie", session(facts=facts))
    assert cache.find("cookie", ends_at - 0.001) is not None
    assert cache.find("cookie", ends_at) is None


def test_a_change_that_is_told_drops_that_session_alone_d3(cache: SessionCache) -> None:
    keep(cache, "cookie a", session("a"))
    keep(cache, "cookie b", session("b"))
    cache.changed(LookupId("lookup-a"))
    assert cache.find("cookie a", NOW) is None
    assert cache.recall("cookie a") is None
    assert cache.find("cookie b", NOW) == session("b")
    cache.changed(LookupId("lookup-of-nobody"))
    assert len(cache) == 1


def test_everything_is_everything(cache: SessionCache) -> None:
    for name in "abc":
        keep(cache, f"cookie {name}", session(name))
    cache.everything()
    assert len(cache) == 0
    assert cache.octets == 0
    for name in "abc":
        assert cache.find(f"cookie {name}", NOW) is None


def test_a_reply_that_crosses_an_announcement_is_not_believed_d6(cache: SessionCache) -> None:
    """The read saw the session, then it ended, then the announcement came, then the reply."""
    found = session()
    tells: tuple[Callable[[], None], ...] = (
        lambda: cache.changed(found.lookup),
        lambda: cache.forget(found.lookup),
        cache.everything,
    )
    for tell in tells:
        with cache.reading(found.lookup) as reading:
            tell()
            cache.keep(reading, "cookie", found, origin(), NOW)
        assert cache.find("cookie", NOW) is None


def test_a_change_of_another_session_spoils_no_read(cache: SessionCache) -> None:
    found = session()
    with cache.reading(found.lookup) as reading:
        cache.changed(LookupId("lookup-of-another"))
        cache.keep(reading, "cookie", found, origin(), NOW)
    assert cache.find("cookie", NOW) == found


def test_a_read_that_begins_after_the_announcement_is_believed_though_an_older_one_is_under_way(
    cache: SessionCache,
) -> None:
    found = session()
    with cache.reading(found.lookup) as older:
        cache.changed(found.lookup)
        with cache.reading(found.lookup) as newer:
            cache.keep(newer, "cookie", found, origin(), NOW)
        assert cache.find("cookie", NOW) == found
        assert older.spoiled
        assert not newer.spoiled
    with cache.reading(found.lookup) as later:
        assert later is not older


def test_the_older_of_two_reads_does_not_hide_the_newer_from_an_announcement(
    cache: SessionCache,
) -> None:
    found = session()
    older = cache.reading(found.lookup)
    newer = cache.reading(found.lookup)
    with newer:
        with older:
            pass
        cache.changed(found.lookup)
        cache.keep(newer, "cookie", found, origin(), NOW)
    assert cache.find("cookie", NOW) is None


def test_one_session_has_one_entry_however_its_cookie_is_spelled(cache: SessionCache) -> None:
    """base64 can be written in many ways that verify: nobody fills the memory with their own."""
    for spelling in range(1000):
        keep(cache, f"cookie {spelling}", session())
    assert len(cache) == 1
    cache.changed(session().lookup)
    assert cache.find("cookie 999", NOW) is None
    assert (len(cache), cache.octets) == (0, 0)


def test_memory_is_bounded_under_a_hundred_thousand_cookies(watched: Watched) -> None:
    most = 100 * (OVERHEAD + 14)
    cache = SessionCache(watched, most)
    for number in range(100_000):
        keep(cache, f"cookie {number}", session(str(number)))
        assert cache.octets <= most
    assert len(cache) == 100
    assert cache.find("cookie 99999", NOW) is not None
    assert cache.find("cookie 99899", NOW) is None


def test_what_was_used_longest_ago_goes_first(watched: Watched) -> None:
    cache = SessionCache(watched, 3 * (OVERHEAD + 14))
    for name in "abc":
        keep(cache, f"cookie {name}", session(name))
    assert cache.find("cookie a", NOW)
    keep(cache, "cookie d", session("d"))
    assert [bool(cache.find(f"cookie {name}", NOW)) for name in "abcd"] == [True, False, True, True]


def test_a_large_session_counts_for_more(watched: Watched) -> None:
    cache = SessionCache(watched, 4 * OVERHEAD)
    large = Origin.of(StoredRecord(1, bytes(3 * OVERHEAD)))
    found = session()
    with cache.reading(found.lookup) as reading:
        cache.keep(reading, "cookie", found, large, NOW)
    assert cache.recall("cookie") is None
    keep(cache, "cookie", found)
    with cache.reading(found.lookup) as reading:
        cache.keep(reading, "cookie", found, large, NOW)
    assert cache.recall("cookie") is None, "the smaller one it replaces is out of date"


def test_no_memory_keeps_nothing(watched: Watched) -> None:
    cache = SessionCache(watched, 0)
    keep(cache, "cookie", session())
    assert len(cache) == 0


def test_reads_under_way_leave_nothing_behind(cache: SessionCache) -> None:
    for number in range(1000):
        lookup = LookupId(f"lookup-{number}")
        with cache.reading(lookup), cache.reading(lookup):
            if number % 3 == 0:
                cache.changed(lookup)
            if number % 7 == 0:
                cache.everything()
    assert cache._under_way == {}


def test_a_read_that_fails_leaves_nothing_behind(cache: SessionCache) -> None:
    with pytest.raises(LookupError), cache.reading(LookupId("a")):
        raise LookupError
    assert cache._under_way == {}


def test_listeners_hear_after_the_cache_has_forgotten(cache: SessionCache) -> None:
    heard: list[tuple[LookupId | None, int]] = []
    cache.on_change(lambda lookup: heard.append((lookup, len(cache))))
    cache.on_change(lambda lookup: heard.append((lookup, len(cache))))
    keep(cache, "cookie a", session("a"))
    cache.changed(LookupId("lookup-a"))
    keep(cache, "cookie a", session("a"))
    cache.everything()
    assert heard == [(LookupId("lookup-a"), 0)] * 2 + [(None, 0)] * 2


def test_what_we_write_ourselves_is_forgotten_without_telling(cache: SessionCache) -> None:
    """The announcement of it comes all the same, and tells."""
    heard: list[LookupId | None] = []
    cache.on_change(heard.append)
    keep(cache, "cookie", session())
    cache.forget(session().lookup)
    assert cache.find("cookie", NOW) is None
    assert heard == []


@pytest.mark.parametrize(
    "other", [origin(b"sealed!"), origin(b"sealee"), origin(b""), origin(generation=2)]
)
def test_records_that_differ_have_different_origins(other: Origin) -> None:
    assert other != origin()


def test_a_cookie_is_not_printed_d14(cache: SessionCache) -> None:
    keep(cache, "the cookie's value", session())
    opened = cache.recall("the cookie's value")
    assert "the cookie" not in repr(opened)
    assert "token of" not in repr(opened)


def test_a_hit_opens_nothing_again(cache: SessionCache) -> None:
    kept = session()
    keep(cache, "cookie", kept)
    assert all(cache.find("cookie", NOW) is kept for _ in range(100))
