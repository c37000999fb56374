"""Where the browser goes to log out at the provider, too."""

from dataclasses import replace

import pytest

from gateway.oidc.end_session import LONGEST_URL, end_session_url
from gateway.secret import IdToken
from tests.unit.oidc.examples import CLIENT, METADATA, client, query_of

BACK = "https://app.example/bff/logged-out"
HINT = IdToken("header.payload.signature")
RETURNING = client(post_logout_redirect_uri=BACK)


def test_j2_hint_client_address_and_state_are_sent() -> None:
    url = end_session_url(METADATA, RETURNING, id_token=HINT, state="st")
    assert url is not None
    assert url.startswith("https://id.example/logout?")
    assert query_of(url) == {
        "id_token_hint": "header.payload.signature",
        "client_id": "spa-gateway",
        "post_logout_redirect_uri": BACK,
        "state": "st",
    }


def test_j2_a_provider_without_the_endpoint_gets_no_visit() -> None:
    silent = replace(METADATA, end_session_endpoint=None)
    assert end_session_url(silent, RETURNING, id_token=HINT, state="st") is None


@pytest.mark.parametrize(
    ("id_token", "sends"),
    [(None, True), (HINT, False), (IdToken("x" * LONGEST_URL), True)],
    ids=["none held", "not wanted", "too long"],
)
def test_j2_without_a_usable_hint_the_client_id_says_who_asks(
    id_token: IdToken | None, sends: bool
) -> None:
    asking = replace(RETURNING, send_id_token_hint=sends)
    url = end_session_url(METADATA, asking, id_token=id_token, state="st")
    assert url is not None
    assert query_of(url) == {
        "client_id": "spa-gateway",
        "post_logout_redirect_uri": BACK,
        "state": "st",
    }


def test_j2_the_whole_url_is_what_must_not_be_too_long() -> None:
    shorter = end_session_url(METADATA, RETURNING, id_token=IdToken("x"), state="st")
    assert shorter is not None
    room = LONGEST_URL - len(shorter) + 1
    fits = end_session_url(METADATA, RETURNING, id_token=IdToken("x" * room), state="st")
    assert fits is not None
    assert len(fits) == LONGEST_URL
    assert "id_token_hint" in fits
    over = end_session_url(METADATA, RETURNING, id_token=IdToken("x" * (room + 1)), state="st")
    assert over is not None
    assert "id_token_hint" not in over


def test_j3_state_goes_along_only_with_an_address_to_come_back_to() -> None:
    url = end_session_url(METADATA, CLIENT, id_token=None, state="st")
    assert url == "https://id.example/logout?client_id=spa-gateway"


def test_the_endpoints_own_query_is_kept() -> None:
    metadata = replace(METADATA, end_session_endpoint="https://id.example/o?p=1&state=theirs")
    url = end_session_url(metadata, RETURNING, id_token=None, state="st")
    assert url is not None
    assert query_of(url) == {
        "p": "1",
        "client_id": "spa-gateway",
        "post_logout_redirect_uri": BACK,
        "state": "st",
    }
