import pytest

from gateway.edge.target import MAX_TARGET, Target, parse_target
from gateway.errors import Code, Refused

from .vectors import read_vectors

OURS = b"app.example.com"
VECTORS = [(verdict, text.encode("latin-1")) for verdict, text in read_vectors("targets.txt")]
ACCEPTED = [raw for verdict, raw in VECTORS if verdict == "accept"]
REFUSED = [(verdict, raw) for verdict, raw in VECTORS if verdict != "accept"]


def parse(raw: bytes) -> Target:
    return parse_target(raw, authority_expected=OURS)


def origin_form(raw: bytes) -> bytes:
    if raw.startswith(b"/"):
        return raw
    rest = raw[raw.lower().index(OURS) + len(OURS) :]
    return rest if rest.startswith(b"/") else b"/" + rest


def test_the_vector_file_has_both_kinds() -> None:
    assert len(ACCEPTED) >= 40
    assert len(REFUSED) >= 80


@pytest.mark.parametrize("raw", ACCEPTED)
def test_an_accepted_target_leaves_byte_by_byte_as_it_came_k5(raw: bytes) -> None:
    assert parse(raw).wire == origin_form(raw)


@pytest.mark.parametrize(("verdict", "raw"), REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_k1_k4(verdict: str, raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse(raw)
    assert refused.value.code == verdict


@pytest.mark.parametrize("octet", [*range(0x21), 0x23, *range(0x7F, 0x100)])
def test_no_octet_outside_the_grammar_is_accepted_anywhere(octet: int) -> None:
    for raw in (b"/a%bb", b"/a?b%bc", b"/%b", b"%b/", b"/a/%b/b"):
        with pytest.raises(Refused) as refused:
            parse(raw.replace(b"%b", bytes([octet])))
        assert refused.value.code is Code.TARGET_MALFORMED


@pytest.mark.parametrize("octet", [*range(0x20), 0x5C, 0x7F])
def test_an_encoded_control_or_backslash_is_refused_in_the_path_only(octet: int) -> None:
    encoded = b"%%%02x" % octet
    for spelling in (encoded, encoded.upper()):
        with pytest.raises(Refused) as refused:
            parse(b"/a" + spelling)
        assert refused.value.code is Code.TARGET_MALFORMED
        assert parse(b"/a?" + spelling).query == spelling


def test_a_query_is_told_from_no_query() -> None:
    assert parse(b"/a").query is None
    assert parse(b"/a?").query == b""


def test_eight_thousand_octets_are_accepted_k10() -> None:
    assert MAX_TARGET >= 8000
    longest = b"/" + b"a" * (MAX_TARGET - 1)
    assert parse(longest).wire == longest


def test_one_octet_too_many_is_too_long_k10() -> None:
    with pytest.raises(Refused) as refused:
        parse(b"/" + b"a" * MAX_TARGET)
    assert refused.value.code is Code.TARGET_TOO_LONG


def test_an_absolute_form_is_never_ours_without_an_expected_authority() -> None:
    with pytest.raises(Refused) as refused:
        parse_target(b"https://app.example.com/", authority_expected=b"")
    assert refused.value.code is Code.HOST_MISDIRECTED


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"/", "/"),
        (b"/a/b", "/a/b"),
        (b"/a/b?c=/d//e", "/a/b"),
        (b"/a//b", "/a/b"),
        (b"/a/////", "/a/"),
        (b"/%61/b", "/a/b"),
        (b"/a%2Fb", "/a/b"),
        (b"/a%2f%2Fb", "/a/b"),
        (b"/%2fa", "/a"),
        (b"/a;v=1/b;w", "/a/b"),
        (b"/;v/a", "/a"),
        (b"/a%3bv/b", "/a/b"),
        (b"/a%3Fb", "/a"),
        (b"/a%23/b", "/a"),
        (b"/%2561", "/%61"),
        (b"/%C3%A9", "/é"),
    ],
)
def test_the_canonical_path_is_what_a_careless_upstream_would_read(
    raw: bytes, canonical: str
) -> None:
    assert parse(raw).canonical == canonical


def test_a_refusal_does_not_reflect_the_input() -> None:
    with pytest.raises(Refused) as refused:
        parse(b"/<script>\\")
    assert "script" not in refused.value.detail + refused.value.note
