"""Keys and seals: what opens, and the much longer list of what does not."""

import base64

import pytest

from gateway.ports import LookupId
from gateway.secret import KeyMaterial, SessionHandle
from gateway.session.sealing import CannotOpen, KeyRing, RingKey, b64, unb64


class CountingEntropy:
    """Different octets every time, the same in every run."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def octets(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(8, "big").rjust(count, b"\xa5")[:count]


def key(name: str) -> RingKey:
    return RingKey(name, KeyMaterial(name.encode().ljust(32, b"k")))


def ring(*names: str, start: int = 0) -> KeyRing:
    return KeyRing([key(name) for name in names], CountingEntropy(start))


HANDLE = SessionHandle(bytes(range(32)))
OTHER = SessionHandle(bytes(range(1, 33)))
LOOKUP = KeyRing.lookup(HANDLE)


def test_a_cookie_comes_back_as_the_handle_it_was_made_from() -> None:
    one = ring("a")
    assert one.read_handle(one.cookie_value(HANDLE)) == HANDLE


def test_a_cookie_is_short_and_shows_nothing_b9_b12() -> None:
    cookie = ring("a").cookie_value(HANDLE)
    assert len(cookie) < 100
    assert b"session" not in base64.urlsafe_b64decode(cookie.partition(".")[0] + "==")


@pytest.mark.parametrize("position", range(0, 87, 3))
def test_a_changed_cookie_names_no_session_b13(position: int) -> None:
    one = ring("a")
    cookie = one.cookie_value(HANDLE)
    changed = cookie[:position] + ("A" if cookie[position] != "A" else "B") + cookie[position + 1 :]
    assert one.read_handle(changed) is None


@pytest.mark.parametrize("more", ["=", "==", "!", "é", " ", "\n", ".", "A", "~~~~"])
def test_a_cookie_has_one_spelling_b13(more: str) -> None:
    one = ring("a")
    cookie = one.cookie_value(HANDLE)
    handle, _, signature = cookie.partition(".")
    for other in (cookie + more, more + cookie, handle + "." + more + signature):
        assert one.read_handle(other) is None
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = {cookie[:-1] + letter for letter in last}
    assert [other for other in spellings if one.read_handle(other)] == [cookie]


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é.ü", b64(bytes(32)), b64(bytes(31)) + ".x"])
def test_an_unsigned_cookie_names_no_session_d2(cookie: str) -> None:
    assert ring("a").read_handle(cookie) is None


def test_a_cookie_signed_under_an_old_key_is_still_read_and_a_removed_key_is_not_d16() -> None:
    cookie = ring("old").cookie_value(HANDLE)
    assert ring("new", "old").read_handle(cookie) == HANDLE
    assert ring("new").read_handle(cookie) is None


def test_the_first_key_of_the_ring_signs() -> None:
    cookie = ring("new", "old").cookie_value(HANDLE)
    assert ring("new").read_handle(cookie) == HANDLE


def test_the_lookup_id_does_not_contain_the_handle_d10() -> None:
    lookup = KeyRing.lookup(HANDLE)
    assert HANDLE.reveal().hex() not in lookup
    assert lookup != KeyRing.lookup(OTHER)


def test_facts_open_with_the_ring_alone_and_tokens_need_the_cookie() -> None:
    one = ring("a")
    lookup = one.lookup(HANDLE)
    facts, tokens = (
        one.seal_facts(lookup, 1, b"facts"),
        one.seal_tokens(HANDLE, LOOKUP, 1, b"tokens"),
    )
    assert one.open_facts(lookup, 1, facts) == b"facts"
    assert one.open_tokens(HANDLE, LOOKUP, 1, tokens) == b"tokens"
    with pytest.raises(CannotOpen):
        one.open_tokens(OTHER, LOOKUP, 1, tokens)
    with pytest.raises(CannotOpen):
        ring("b").open_tokens(HANDLE, LOOKUP, 1, tokens)
    with pytest.raises(CannotOpen):
        one.open_tokens(HANDLE, KeyRing.lookup(OTHER), 1, tokens)


def test_a_record_moved_to_another_session_does_not_open_d10() -> None:
    one = ring("a")
    blob = one.seal_facts(one.lookup(HANDLE), 1, b"facts")
    with pytest.raises(CannotOpen):
        one.open_facts(one.lookup(OTHER), 1, blob)


def test_a_record_replayed_at_another_generation_does_not_open() -> None:
    one = ring("a")
    lookup = one.lookup(HANDLE)
    with pytest.raises(CannotOpen):
        one.open_facts(lookup, 2, one.seal_facts(lookup, 1, b"facts"))
    with pytest.raises(CannotOpen):
        one.open_tokens(HANDLE, LOOKUP, 2, one.seal_tokens(HANDLE, LOOKUP, 1, b"tokens"))


def test_facts_and_tokens_are_not_interchangeable_b14() -> None:
    one = ring("a")
    lookup = one.lookup(HANDLE)
    with pytest.raises(CannotOpen):
        one.open_facts(lookup, 1, one.seal_tokens(HANDLE, LOOKUP, 1, b"x"))
    with pytest.raises(CannotOpen):
        one.open_tokens(HANDLE, LOOKUP, 1, one.seal_facts(lookup, 1, b"x"))


def test_every_changed_octet_is_noticed() -> None:
    one = ring("a")
    lookup = one.lookup(HANDLE)
    blob = one.seal_facts(lookup, 1, b"facts")
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1
        with pytest.raises(CannotOpen):
            one.open_facts(lookup, 1, bytes(changed))


@pytest.mark.parametrize("length", range(20))
def test_a_cut_blob_is_noticed(length: int) -> None:
    one = ring("a")
    lookup = LookupId("x")
    with pytest.raises(CannotOpen):
        one.open_facts(lookup, 1, one.seal_facts(lookup, 1, b"facts")[:length])


def test_sealing_twice_never_uses_one_nonce_twice() -> None:
    one = ring("a")
    blobs = {one.seal_facts(LookupId("x"), 1, b"same") for _ in range(100)}
    assert len(blobs) == 100


def test_an_envelope_opens_for_its_purpose_only_b14() -> None:
    one = ring("a")
    text = one.seal_envelope("state", b"attempt")
    assert one.open_envelope("state", text) == ("a", b"attempt")
    with pytest.raises(CannotOpen):
        one.open_envelope("logout", text)
    assert one.read_handle(text) is None


@pytest.mark.parametrize("text", ["", "!", "AAAA", "ÄÖ", "A" * 5000, "AQ==", "AR"])
def test_garbage_is_no_envelope(text: str) -> None:
    with pytest.raises(CannotOpen):
        ring("a").open_envelope("state", text)


def test_what_a_login_derives_depends_on_browser_attempt_key_and_label_e3() -> None:
    one = ring("a", "b")
    binding, other = one.new_binding(), one.new_binding()
    derived = {
        one.derive(key_id, label, who, attempt)
        for key_id in ("a", "b")
        for label in ("pkce", "nonce")
        for who in (binding, other)
        for attempt in ("1", "2")
    }
    assert len(derived) == 16
    assert one.derive("a", "pkce", binding, "1") == one.derive("a", "pkce", binding, "1")


def test_index_names_hide_the_subject_and_survive_a_rotation() -> None:
    before = ring("old").index_names("user", "https://id.example", "ada@example.org")
    after = ring("new", "old").index_names("user", "https://id.example", "ada@example.org")
    assert "ada" not in before[0]
    assert len(after) == 2
    assert after[1] == before[0]
    assert after[0] != before[0]


def test_index_names_do_not_run_together_d9() -> None:
    one = ring("a")
    assert one.index_names("user", "ab", "c") != one.index_names("user", "a", "bc")
    assert one.index_names("user", "a", "b") != one.index_names("sid", "a", "b")


@pytest.mark.parametrize("cookie", [None, "", "short", "A" * 44, "A" * 42 + "=", "A" * 42 + "\n"])
def test_only_the_shape_we_hand_out_is_a_binding(cookie: str | None) -> None:
    assert KeyRing.read_binding(cookie) is None


def test_a_binding_we_handed_out_is_read_back() -> None:
    binding = ring("a").new_binding()
    assert KeyRing.read_binding(binding.reveal()) == binding


def test_base64url_is_read_in_one_spelling_only() -> None:
    assert unb64(b64(b"\xff\xfe")) == b"\xff\xfe"
    for text in ("__4=", "__5", " __4", "__4\n"):
        with pytest.raises(CannotOpen):
            unb64(text)
