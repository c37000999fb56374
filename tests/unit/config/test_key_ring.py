"""Keys that are good enough, and the many that are not (D16)."""

import base64
import random

import pytest

from gateway.config.key_ring import decode_key, weakness
from tests.unit.config.documents import OTHER_KEY, RING_KEY, errors, settings

GOOD = bytes.fromhex("5f1c9a04e7b23d68f0a1547ce3892bd61e47cf905ab8327d09f6e46b1d83c275")


def key_errors(value: str) -> list[str]:
    return errors({"keys.0.secret": {"env": "MINE"}}, environ={"MINE": value})


@pytest.mark.parametrize(
    "written",
    [
        GOOD.hex(),
        GOOD.hex().upper(),
        base64.b64encode(GOOD).decode(),
        base64.b64encode(GOOD).decode().rstrip("="),
        base64.urlsafe_b64encode(GOOD).decode(),
        base64.urlsafe_b64encode(GOOD).decode().rstrip("="),
        base64.b64encode(GOOD).decode() + "\n",
    ],
)
def test_a_key_is_the_same_in_every_spelling(written: str) -> None:
    made = settings({"keys.0.secret": {"env": "MINE"}}, environ={"MINE": written})
    assert made.keys[0].material.reveal() == GOOD


def test_text_that_is_no_encoding_is_the_key_itself() -> None:
    text = "r8!kQ2#vT6$wZ1%xC5&yB9*nM3(pL7)d"
    assert decode_key(text.encode()) == text.encode()
    assert key_errors(text) == []


def test_octets_are_the_key_itself() -> None:
    assert decode_key(b"\xff" + GOOD) == b"\xff" + GOOD


def test_every_random_key_is_accepted_in_every_spelling() -> None:
    source = random.Random(16)  # noqa: S311  the same keys in every run
    for _ in range(500):
        key = source.randbytes(32)
        for written in (key, key.hex().encode(), base64.b64encode(key)):
            assert weakness(written, key) is None


@pytest.mark.parametrize(
    "weak",
    [
        "correct horse battery staple is my key yes",
        "Seventeen, blue; window, river; lamp, north!",
        "changeme",
        "changeme" * 8,
        "x",
        GOOD.hex()[:62],  # 31 bytes
        base64.b64encode(GOOD[:31]).decode(),
        "0123456789abcdef0123456789abcdef",  # 32 characters, 16 bytes
        "0" * 64,
        "00" * 32,
        "0123456789abcdef" * 4,
        base64.b64encode(bytes(range(32))).decode(),
        base64.b64encode(bytes(range(64, 32, -1))).decode(),
        base64.b64encode(b"ab" * 20).decode(),
        base64.b64encode(GOOD[:16] * 2).decode(),
        base64.b64encode(GOOD[:12] * 3).decode(),
        base64.b64encode(GOOD[:8] * 5).decode(),
        base64.b64encode(GOOD[:13] * 3)[:48].decode(),
        base64.b64encode(bytes(GOOD[n % 11] for n in (3, 1, 4, 1, 5, 9, 2, 6) * 4)).decode(),
        base64.b64encode(bytes([GOOD[(n * n) % 15] for n in range(64)])).decode(),
        "my-very-own-secret-key-for-the-gateway!!",
        "Please-Change-Me-before-production-2026!",
        "correct horse battery staple password 1!",
        "example-key-example-key-32-characters-xx",
        base64.b64encode(b"this is the Secret of our session gateway").decode(),
        base64.b64encode(b"password" + GOOD).decode(),
        base64.b64encode(b"PASSWORD" + GOOD).decode(),
        "ChangeMe" + base64.b64encode(GOOD).decode(),  # only as it is written
        b"password-and-more-of-it-and-then-some".hex(),
    ],
)
def test_a_weak_or_default_key_is_refused(weak: str) -> None:
    assert key_errors(weak) == ["keys[0].secret"]


def test_the_first_key_seals() -> None:
    made = settings({"keys.1": {"id": "older", "secret": {"env": "OTHER_KEY"}}})
    assert [key.key_id for key in made.keys] == ["2026-11", "older"]


def test_one_key_under_two_ids_is_refused_in_whatever_spelling() -> None:
    changes = {"keys.1": {"id": "older", "secret": {"env": "AGAIN"}}}
    same = base64.b64decode(RING_KEY.replace("-", "+") + "=").hex()
    assert errors(changes, environ={"AGAIN": RING_KEY}) == ["keys[1].secret"]
    assert errors(changes, environ={"AGAIN": same}) == ["keys[1].secret"]
    assert errors(changes, environ={"AGAIN": OTHER_KEY}) == []


def test_an_id_is_used_once() -> None:
    changes = {"keys.1": {"id": "2026-11", "secret": {"env": "OTHER_KEY"}}}
    assert errors(changes) == ["keys[1].id"]


@pytest.mark.parametrize("key_id", ["", " ", "a b", "ä", "a/b", "x" * 33, "-a", "a\n", 2026, None])
def test_an_id_is_a_short_plain_word(key_id: object) -> None:
    assert errors({"keys.0.id": key_id}) == ["keys[0].id"]


@pytest.mark.parametrize("key_id", ["a", "2026-11", "2026-11-01", "k_1.b", "x" * 32])
def test_usual_ids_are_accepted(key_id: str) -> None:
    assert settings({"keys.0.id": key_id}).keys[0].key_id == key_id


@pytest.mark.parametrize("keys", [[], None, {}, "RING_KEY", [None], ["x"]])
def test_there_is_no_gateway_without_a_key(keys: object) -> None:
    (found,) = errors({"keys": keys})
    assert found in ("keys", "keys[0]")


def test_a_key_is_not_shown_anywhere() -> None:
    made = settings()
    assert RING_KEY not in repr(made)
    assert repr(made.keys[0].material) == ""
