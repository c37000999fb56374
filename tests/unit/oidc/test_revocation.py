"""What a revocation endpoint is asked, and what follows from its answers (RFC 7009, H16)."""

from typing import Any

import pytest

from gateway.oidc.back_channel import BackChannelAnswer
from gateway.oidc.metadata import Metadata
from gateway.oidc.revocation import Revocation, Verdict, read_revocation, revocation
from gateway.secret import AccessToken, RefreshToken
from tests.unit.oidc.examples import (
    CLIENT,
    ISSUER,
    METADATA,
    fields_of,
    form_of,
    json_answer,
    key_client,
)


def test_h16_a_token_is_revoked_with_its_kind_named_and_the_client_authenticated() -> None:
    for token, hint in ((RefreshToken("t"), "refresh_token"), (AccessToken("t"), "access_token")):
        request = revocation(CLIENT, METADATA, token, None)
        assert request is not None
        assert request.url == "https://id.example/revoke"
        assert form_of(request) == {"token": "t", "token_type_hint": hint}
        assert fields_of(request)[b"authorization"].startswith(b"Basic ")


def test_h3_a_client_with_a_key_shows_its_assertion() -> None:
    request = revocation(key_client(), METADATA, RefreshToken("t"), "a.s.s")
    assert request is not None
    assert form_of(request)["client_assertion"] == "a.s.s"
    assert b"authorization" not in fields_of(request)


def test_h16_a_provider_without_the_endpoint_is_not_asked_to_revoke() -> None:
    silent = Metadata(ISSUER, "https://id.example/a", "https://id.example/t")
    assert revocation(CLIENT, silent, RefreshToken("t"), None) is None


@pytest.mark.parametrize("status", [200, 204])
def test_a_success_is_the_end_of_it_whatever_the_body_says(status: int) -> None:
    """Also for a token the provider has never seen: RFC 7009 section 2.2."""
    for body in (b"", b"<html>", b'{"error":"unsupported_token_type"}'):
        assert read_revocation(BackChannelAnswer(status, "", body)) == Revocation(Verdict.DONE)


@pytest.mark.parametrize("error", ["invalid_token", "invalid_grant"])
def test_a_token_that_is_dead_already_is_as_good_as_revoked(error: str) -> None:
    assert read_revocation(json_answer({"error": error}, 400)).verdict is Verdict.DONE


@pytest.mark.parametrize("error", ["unsupported_token_type", "invalid_request"])
def test_what_the_provider_will_never_do_is_given_up(error: str) -> None:
    refused = read_revocation(json_answer({"error": error}, 400))
    assert refused.verdict is Verdict.REFUSED
    assert refused.note == f"the revocation endpoint answered 400 {error}"


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
@pytest.mark.parametrize("status", [400, 401])
def test_what_the_operator_has_to_mend_is_tried_again(error: str, status: int) -> None:
    later = read_revocation(json_answer({"error": error}, status))
    assert later == Revocation(
        Verdict.LATER, note=f"the revocation endpoint answered {status} {error}"
    )


@pytest.mark.parametrize("status", [100, 302, 403, 404, 405, 429, 500, 502, 503, 504])
def test_every_other_status_leaves_the_token_alive_and_is_tried_again(status: int) -> None:
    """Whatever its body says: only a 400 or 401 has an error code (RFC 6749 section 5.2)."""
    final = json_answer({"error": "unsupported_token_type"}, status)
    assert read_revocation(final).verdict is Verdict.LATER


@pytest.mark.parametrize("retry_after", [None, 0, 1, 120])
def test_a_503_says_when_to_come_back(retry_after: int | None) -> None:
    """RFC 7009 section 2.2.1."""
    answer = BackChannelAnswer(503, retry_after=retry_after)
    assert read_revocation(answer).after == (retry_after or 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"unsupported_token_type",
        b'{"error_description":"unsupported_token_type"}',
        b'{"error":["unsupported_token_type"]}',
        b'{"error":"unsupported_token_type","error":"x"}',
        b'{"error":null}',
        b'{"error":"something of its own"}',
        b"\xff\xfe",
    ],
)
def test_a_word_that_is_not_the_error_itself_is_no_verdict(body: bytes) -> None:
    later = read_revocation(BackChannelAnswer(400, "application/json", body))
    assert later == Revocation(Verdict.LATER, note="the revocation endpoint answered 400")


def test_nothing_the_provider_wrote_gets_into_a_note() -> None:
    told: list[Any] = [{"error": "eyJ-token-like"}, {"error": "x", "error_description": "secret"}]
    for members in told:
        note = read_revocation(json_answer(members, 400)).note
        assert note == "the revocation endpoint answered 400"
