"""What an operator's request means; what is not clear means nothing."""

import pytest

from gateway.edge.administration import (
    End,
    Everybody,
    Look,
    OnePerson,
    OneProvider,
    OneSession,
    read_order,
    require_operator,
)
from gateway.edge.messages import BrowserRequest, Field
from gateway.errors import Code, Refused
from gateway.secret import AdminToken

TOKEN = AdminToken("o7Ny-admin-of-32-characters-or-more")
SHOWN = (b"authorization", b"Bearer o7Ny-admin-of-32-characters-or-more")
ADA = OnePerson("https://id.example", "ada b&c")
ADAS = b"/admin/sessions?issuer=https%3A%2F%2Fid.example&subject=ada+b%26c"


@pytest.mark.parametrize(
    ("method", "target", "order"),
    [
        ("GET", ADAS, Look(ADA)),
        ("HEAD", ADAS, Look(ADA)),
        ("DELETE", ADAS, End(ADA)),
        ("GET", b"/admin/sessions/aZ09_-", Look(OneSession("aZ09_-"))),
        ("DELETE", b"/admin/sessions/aZ09_-", End(OneSession("aZ09_-"))),
        ("DELETE", b"/admin/sessions?provider=main", End(OneProvider("main"))),
        ("DELETE", b"/admin/sessions?all=true", End(Everybody())),
    ],
)
def test_what_is_clear_is_read(method: str, target: bytes, order: object) -> None:
    assert read_order(method, target) == order


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"?",
        b"?all",
        b"?all=",
        b"?all=1",
        b"?all=true&",
        b"?all=true&all=true",
        b"?all=true&provider=main",
        b"?all=true&dry_run=true",
        b"?ALL=true",
        b"?provider=",
        b"?provider=a&provider=b",
        b"?issuer=https://id.example",
        b"?subject=ada",
        b"?issuer=&subject=ada",
        b"?issuer=https://id.example&subject=",
        b"?issuer=x&subject=ada&provider=main",
        b"?issuer=x&subject=%ff",
        b"?issuer=x&subject=\xc3\xa9",
        b"?" + b"&".join(b"a%d=1" % number for number in range(50)),
    ],
)
def test_without_exactly_one_selector_nothing_is_meant(query: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_order("DELETE", b"/admin/sessions" + query)
    assert refused.value.code is Code.ADMIN_SELECTOR
    assert refused.value.detail


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", b"/admin/sessions?all=true", Code.ADMIN_SELECTOR),
        ("GET", b"/admin/sessions?provider=main", Code.ADMIN_SELECTOR),
        ("DELETE", b"/admin/sessions/abc?all=true", Code.ADMIN_SELECTOR),
        ("DELETE", b"/admin/sessions/", Code.SESSION_NOT_FOUND),
        ("DELETE", b"/admin/sessions/a/b", Code.SESSION_NOT_FOUND),
        ("DELETE", b"/admin/sessions/a%2e", Code.SESSION_NOT_FOUND),
        ("DELETE", b"/admin/sessions/" + b"a" * 65, Code.SESSION_NOT_FOUND),
        ("POST", b"/admin/sessions?all=true", Code.METHOD_NOT_ALLOWED),
        ("OPTIONS", b"/admin/sessions?all=true", Code.METHOD_NOT_ALLOWED),
        ("delete", b"/admin/sessions?all=true", Code.METHOD_NOT_ALLOWED),
        ("DELETE", b"/admin", Code.ROUTE_NOT_FOUND),
        ("DELETE", b"/admin/session?all=true", Code.ROUTE_NOT_FOUND),
        ("DELETE", b"/admin/../admin/sessions?all=true", Code.ROUTE_NOT_FOUND),
    ],
)
def test_what_is_something_else_is_refused(method: str, target: bytes, code: Code) -> None:
    with pytest.raises(Refused) as refused:
        read_order(method, target)
    assert refused.value.code is code


def refusal(
    *fields: Field, token: AdminToken | None = None, only_this_machine: bool = True
) -> Code | None:
    request = BrowserRequest("DELETE", b"/admin/sessions?all=true", fields)
    try:
        require_operator(request, token=token, only_this_machine=only_this_machine)
    except Refused as refused:
        return refused.code
    return None


def test_on_this_machine_alone_no_token_is_needed_unless_there_is_one() -> None:
    assert refusal() is None
    assert refusal(SHOWN) is None
    assert refusal(token=TOKEN) is Code.ADMIN_TOKEN
    assert refusal(SHOWN, token=TOKEN) is None


def test_where_others_can_connect_there_has_to_be_a_token() -> None:
    assert refusal(only_this_machine=False) is Code.ADMIN_NOT_CONFIGURED
    assert refusal(SHOWN, only_this_machine=False) is Code.ADMIN_NOT_CONFIGURED
    assert refusal(token=TOKEN, only_this_machine=False) is Code.ADMIN_TOKEN
    assert refusal(SHOWN, token=TOKEN, only_this_machine=False) is None


def test_the_scheme_has_no_case_and_the_token_has() -> None:
    assert refusal((SHOWN[0], SHOWN[1].replace(b"Bearer ", b"bEARER  ")), token=TOKEN) is None
    assert refusal((SHOWN[0], SHOWN[1].upper()), token=TOKEN) is Code.ADMIN_TOKEN


def test_what_a_person_types_into_a_browser_is_no_page() -> None:
    assert refusal((b"sec-fetch-site", b"none")) is None
