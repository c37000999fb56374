"""Secrets cannot be shown by accident."""

import copy
import json
import pickle

import pytest

from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.secret import AccessToken, RefreshToken, SessionHandle

TOKEN = AccessToken("at-3f9c-secret")


@pytest.mark.parametrize(
    "shown", [repr(TOKEN), str(TOKEN), f"{TOKEN}", f"{TOKEN!r:>20}", repr([TOKEN])]
)
def test_no_way_of_printing_shows_the_value(shown: str) -> None:
    assert "secret" not in shown
    assert "3f9c" not in shown


def test_a_secret_is_not_pickled_copied_or_dumped() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(TOKEN)
    with pytest.raises(TypeError):
        copy.deepcopy(TOKEN)
    with pytest.raises(TypeError):
        json.dumps({"token": TOKEN})


def test_secrets_of_one_purpose_compare_by_value_and_never_with_another_purpose() -> None:
    assert AccessToken("a") == AccessToken("a")
    assert AccessToken("a") != AccessToken("b")
    assert AccessToken("a") != RefreshToken("a")
    assert AccessToken("a") != "a"
    assert SessionHandle(b"a") == SessionHandle(b"a")


def test_an_empty_secret_is_false() -> None:
    assert not AccessToken("")
    assert AccessToken("a")


def test_messages_to_providers_do_not_print_their_contents() -> None:
    request = BackChannelRequest("POST", "https://id.example/token", ((b"a", b"s3cr"),), b"s3cr")
    assert "s3cr" not in repr(request)
    assert "s3cr" not in repr(BackChannelAnswer(200, "application/json", b"s3cr"))
