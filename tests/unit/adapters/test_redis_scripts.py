"""Records as octets, steps as words, replies as shapes: all without a server."""

import hashlib

import pytest

from gateway.adapters import redis_marks, redis_scripts
from gateway.adapters.redis_marks import Marks, number
from gateway.adapters.redis_scripts import Layout, Script, Step, milliseconds, pack, unpack
from gateway.ports import IndexName, LookupId, StoredRecord

A = LookupId("a")
RECORD = StoredRecord(1, b"sealed")
LAYOUT = Layout("gw:")
MARKS = Marks("gw:")


@pytest.mark.parametrize("generation", [0, 1, 255, 256, 2**63, 2**64 - 1])
@pytest.mark.parametrize("sealed", [b"", b"\x00", bytes(range(256))])
def test_a_packed_record_is_the_record(generation: int, sealed: bytes) -> None:
    record = StoredRecord(generation, sealed)
    assert unpack(pack(record)) == record


def test_the_generation_comes_first_and_big_endian() -> None:
    """What the Lua step compares, and what an operator sees in a dump."""
    assert pack(StoredRecord(0x0102, b"x")) == b"\x00\x00\x00\x00\x00\x00\x01\x02x"


@pytest.mark.parametrize("value", [None, *(bytes(length) for length in range(8))])
def test_f7_an_absent_or_cut_value_is_no_record(value: bytes | None) -> None:
    assert unpack(value) is None


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [(1, 1000), (0.0004, 1), (0.25, 250), (1.0001, 1001), (0, 1), (-5, 1), (43200.0, 43_200_000)],
)
def test_a_time_to_live_is_never_rounded_down_to_nothing(ttl: float, expected: int) -> None:
    assert milliseconds(ttl) == expected


STEPS: dict[str, Step] = {
    "read one": LAYOUT.read([A]),
    "read two": LAYOUT.read([A, LookupId("b")]),
    "create": LAYOUT.create(A, RECORD, 1.0),
    "replace": LAYOUT.replace(A, RECORD, 1, 1.0),
    "enter": LAYOUT.enter(IndexName("i"), A, 1.0),
    "members": LAYOUT.members(IndexName("i")),
    "delete": LAYOUT.end(A, [IndexName("i")])[0],
    "leave": LAYOUT.end(A, [IndexName("i")])[1],
    "claim": LAYOUT.claim("n", 1.0),
    "take live": LAYOUT.take_live(A),
    "take kept": LAYOUT.take_kept(A),
    "keep": LAYOUT.keep(A, b"value", 1.0),
    "claims": LAYOUT.claims("n"),
    "mark": MARKS.write(IndexName("m"), 1.5, 1.0),
    "marks": MARKS.read([IndexName("m"), IndexName("n")]),
    "ping": LAYOUT.ping(),
    "own id": LAYOUT.own_id(),
    "track": LAYOUT.track(7, "watcher"),
    "listen": LAYOUT.listen(),
    "prove": LAYOUT.prove("watcher", 3),
}

REPLIES: dict[str, tuple[object, ...]] = {
    "read one": ([None], [b"value"]),
    "read two": ([None, None], [b"", b"value"]),
    "create": (None, b"OK"),
    "replace": (0, 1),
    "enter": (0, 1),
    "members": ([], [b"a"], [b"a", b"b"]),
    "delete": (0, 1),
    "leave": (0, 1),
    "claim": (None, b"OK"),
    "take live": ([0, b""], [1, b"value"]),
    "take kept": ([0, b""], [1, b"value"]),
    "keep": (b"OK",),
    "claims": ([None], [b"1"]),
    "mark": (0, 1),
    "marks": ([None, None], [b"1.5", None]),
    "ping": (b"PONG",),
    "own id": (0, 1, 2, -1),
    "track": (b"OK",),
    "listen": ([b"subscribe", b"__redis__:invalidate", 1],),
    "prove": (b"OK",),
}

LISTS = ("read one", "read two", "members", "claims", "marks", "take live", "take kept")

EVERY_REPLY: tuple[object, ...] = (
    *(reply for replies in REPLIES.values() for reply in replies),
    [b"value", 1],
    [None, [b"value"]],
    {b"a": b"b"},
    2,
    -1,
    True,
    1.0,
    "OK",
    b"",
    b"QUEUED",
    [Exception("an error inside a list")],
)


@pytest.mark.parametrize("name", STEPS)
def test_f4_a_step_accepts_its_own_replies_and_no_others(name: str) -> None:
    for reply in EVERY_REPLY:
        own = any(type(reply) is type(fit) and reply == fit for fit in REPLIES[name])
        alike = name in LISTS and isinstance(reply, list)
        if not alike:
            assert STEPS[name].fits(reply) is own, reply


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("read one", [], False),
        ("read one", [b"a", b"b"], False),
        ("read one", [1], False),
        ("read two", [b"a"], False),
        ("read two", [b"a", None], True),
        ("members", [None], False),
        ("members", [b"a", 1], False),
        ("take live", [1], False),
        ("take live", [2, b"a"], False),
        ("take live", [1, None], False),
        ("take live", [b"a", b"b"], False),
    ],
)
def test_f4_a_list_fits_by_length_and_by_what_is_in_it(
    name: str, reply: object, *, expected: bool
) -> None:
    assert STEPS[name].fits(reply) is expected


@pytest.mark.parametrize("name", ["replace", "enter", "members", "mark", "take live", "take kept"])
def test_a_lua_step_touches_one_key_so_that_a_cluster_can_run_it(name: str) -> None:
    words = STEPS[name].words
    assert words[0] == 1
    assert str(words[1]).startswith("gw:")


def test_every_key_begins_with_the_prefix() -> None:
    layout = Layout("tenant-7:")
    steps = (
        layout.read([A]),
        layout.create(A, RECORD, 1.0),
        *layout.end(A, [IndexName("i")]),
        layout.claim("n", 1.0),
        layout.claims("n"),
        Marks("tenant-7:").read([IndexName("m")]),
        layout.prove("watcher", 1),
    )
    assert all(str(step.words[1]).startswith("tenant-7:") for step in steps)


def test_a_watcher_is_told_of_its_own_tenants_sessions_and_of_its_own_proofs_alone() -> None:
    words = Layout("tenant-7:").track(12, "watcher").words
    assert words == (
        *("CLIENT", "TRACKING", "ON", "REDIRECT", 12, "BCAST"),
        *("PREFIX", "tenant-7:s:", "PREFIX", "tenant-7:g:", "PREFIX", "tenant-7:w:watcher:"),
    )
    proof = str(Layout("tenant-7:").prove("watcher", 1).words[1])
    assert proof.startswith(str(words[-1]))
    assert not proof.startswith(str(words[-3]))


def test_every_proof_has_a_key_of_its_own_and_a_time_to_live() -> None:
    """An old one that runs out is announced too, and must not pass for the next."""
    proofs = [LAYOUT.prove(watcher, number) for watcher in "ab" for number in range(12)]
    assert len({step.words[1] for step in proofs}) == len(proofs)
    assert all(step.words[3:] == ("PX", 2000) for step in proofs)


@pytest.mark.parametrize(
    ("key", "lookup"),
    [
        (b"gw:s:abc", b"abc"),
        (b"gw:s:", b""),
        (b"gw:w:watcher:1", None),
        (b"gw:c:s:abc", None),
        (b"other:gw:s:abc", None),
        (b"", None),
    ],
)
def test_only_the_key_of_a_session_names_one(key: bytes, lookup: bytes | None) -> None:
    assert LAYOUT.session_in(key) == lookup


def test_sessions_indexes_claims_and_marks_of_one_name_do_not_meet() -> None:
    keys = {
        LAYOUT.read([LookupId("x")]).words[1],
        LAYOUT.members(IndexName("x")).words[1],
        LAYOUT.claim("x", 1.0).words[1],
        MARKS.write(IndexName("x"), 1.0, 1.0).words[1],
        LAYOUT.keep(LookupId("x"), b"", 1.0).words[1],
    }
    assert len(keys) == 5
    assert LAYOUT.take_kept(A).words[1] == LAYOUT.keep(A, b"", 1.0).words[1]
    assert LAYOUT.take_live(A).words[1] == LAYOUT.read([A]).words[1]
    assert LAYOUT.claims("x").words[1] == LAYOUT.claim("x", 1.0).words[1]
    assert MARKS.read([IndexName("x")]).words[1] == MARKS.write(IndexName("x"), 1, 1).words[1]


@pytest.mark.parametrize("value", [0.0, 1.5, 1_700_000_000.0, 1_700_000_000.123456, -1.0, 1e15])
def test_the_number_of_a_mark_is_the_number(value: float) -> None:
    assert number(str(MARKS.write(IndexName("x"), value, 1.0).words[2]).encode()) == value


@pytest.mark.parametrize("value", [None, b"", b"x", b"nan", b"inf", b"-inf", b"1e999", b"\xff"])
def test_f7_what_is_no_number_is_no_mark(value: bytes | None) -> None:
    assert number(value) is None


def test_what_ends_a_session_comes_before_tidying_its_indexes() -> None:
    steps = LAYOUT.end(A, [IndexName("i"), IndexName("j")])
    assert [step.words[0] for step in steps] == ["DEL", "ZREM", "ZREM"]


@pytest.mark.parametrize(
    "script",
    [
        *(redis_scripts.REPLACE, redis_scripts.ENTER, redis_scripts.MEMBERS),
        *(redis_marks.MARK, redis_scripts.TAKE),
    ],
)
def test_a_script_is_called_by_its_digest_or_in_full(script: Script) -> None:
    step = STEPS["replace"]
    digest = hashlib.sha1(script.text.encode()).hexdigest()  # noqa: S324 - the server's own choice
    assert script.by_digest(step).words == ("EVALSHA", digest, *step.words)
    assert script.in_full(step).words == ("EVAL", script.text, *step.words)
    assert script.in_full(step).fits is step.fits


def test_a_prefix_with_signs_of_a_pattern_finds_its_own_keys_alone() -> None:
    step = Layout("a*[b-c]?^\\:").scan(b"0", 10)
    assert step.words[3] == r"a\*\[b\-c\]\?\^\\:s:*"


@pytest.mark.parametrize(
    "reply",
    [None, [], [b"0"], [b"0", None], [b"0", [None]], [0, []], [b"x", []], [b"0", [], []], b"0"],
)
def test_what_is_no_page_of_a_scan_does_not_fit(reply: object) -> None:
    step = LAYOUT.scan(b"0", 10)
    assert step.fits([b"17", [b"gw:s:a"]])
    assert not step.fits(reply)
