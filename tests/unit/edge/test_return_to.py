import pytest

from gateway.edge.host import PublicOrigin
from gateway.edge.return_to import MAX_RETURN_TO, check_return_to
from gateway.errors import Code, Refused

from .vectors import read_vectors

ORIGIN = PublicOrigin("https", "app.example.com", 443)
VECTORS = read_vectors("return_to.txt")
ACCEPTED = [text for verdict, text in VECTORS if verdict == "accept"]
REFUSED = [text for verdict, text in VECTORS if verdict == "refuse"]


def test_the_vector_file_is_whole() -> None:
    assert len(VECTORS) == len(set(VECTORS)) == len(ACCEPTED) + len(REFUSED)
    assert len(REFUSED) >= 120
    assert len(ACCEPTED) >= 25


@pytest.mark.parametrize("value", REFUSED)
def test_what_could_leave_the_origin_in_some_readers_eyes_is_refused_e13(value: str) -> None:
    with pytest.raises(Refused) as refused:
        check_return_to(value, ORIGIN)
    assert refused.value.code is Code.LOGIN_RETURN_TO


@pytest.mark.parametrize("value", ACCEPTED)
def test_a_place_of_the_application_is_returned_as_a_path_e13(value: str) -> None:
    local = value.removeprefix("https://app.example.com")
    expected = local if local.startswith("/") else "/" + local
    assert check_return_to(value, ORIGIN) == expected


def test_a_checked_value_is_accepted_again_unchanged() -> None:
    for value in ACCEPTED:
        once = check_return_to(value, ORIGIN)
        assert check_return_to(once, ORIGIN) == once


def test_the_length_is_bounded() -> None:
    longest = "/" + "a" * (MAX_RETURN_TO - 1)
    assert check_return_to(longest, ORIGIN) == longest
    with pytest.raises(Refused) as refused:
        check_return_to(longest + "a", ORIGIN)
    assert refused.value.code is Code.LOGIN_RETURN_TO


def test_the_gateways_own_base_is_refused_wherever_it_lies() -> None:
    assert check_return_to("/bff/login", ORIGIN, base="/auth") == "/bff/login"
    with pytest.raises(Refused):
        check_return_to("/auth/login", ORIGIN, base="/auth")


def test_an_origin_with_a_port_accepts_only_that_port() -> None:
    origin = PublicOrigin("http", "localhost", 8080)
    assert check_return_to("http://localhost:8080/a", origin) == "/a"
    for value in ("http://localhost/a", "http://localhost:80801/a", "https://localhost:8080/a"):
        with pytest.raises(Refused):
            check_return_to(value, origin)


def test_a_refusal_reflects_nothing() -> None:
    with pytest.raises(Refused) as refused:
        check_return_to("https://evil.example/<script>", ORIGIN)
    assert "evil" not in refused.value.detail + refused.value.note
