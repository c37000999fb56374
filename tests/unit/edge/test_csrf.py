from itertools import product

import pytest

from gateway.edge.csrf import Guard, refuse_cross_site
from gateway.edge.host import PublicOrigin
from gateway.edge.messages import BrowserRequest, Field
from gateway.errors import Code, Refused

ORIGIN = PublicOrigin("https", "app.example.com", 443)
OURS = b"https://app.example.com"

SITES = {
    "absent": (),
    "same-origin": (b"same-origin",),
    "same-site": (b"same-site",),
    "cross-site": (b"cross-site",),
    "none": (b"none",),
    "unknown": (b"same-orbit",),
    "upper": (b"SAME-ORIGIN",),
    "list": (b"same-origin, same-origin",),
    "twice": (b"same-origin", b"same-origin"),
    "empty": (b"",),
}
MODES = {
    "absent": (),
    "navigate": (b"navigate",),
    "cors": (b"cors",),
    "no-cors": (b"no-cors",),
    "twice": (b"navigate", b"navigate"),
}
DESTS = {
    "absent": (),
    "empty": (b"empty",),
    "document": (b"document",),
    "image": (b"image",),
    "iframe": (b"iframe",),
    "twice": (b"document", b"document"),
}
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "get")
PROOFS = {
    "absent": (),
    "right": (b"1",),
    "wrong": (b"0",),
    "list": (b"1, 1",),
    "twice": (b"1", b"1"),
}
ORIGINS = {
    "absent": (),
    "ours": (OURS,),
    "null": (b"null",),
    "suffix": (OURS + b".evil.example",),
    "port": (OURS + b":8443",),
    "scheme": (b"http://app.example.com",),
    "twice": (OURS, OURS),
}

# What the matrix must come to, said as three sets of facts instead of a sequence of checks.
SITES_THAT_MAY_PASS = {"absent", "same-origin", "none"}
ORIGINS_THAT_MAY_PASS = {"absent", "ours"}
WITHOUT_A_SCRIPT = {
    (mode, dest)
    for mode, dest in product(MODES, DESTS)
    if mode == "navigate" or dest in {"document", "image", "iframe"}
}
OWN_FORM = ("same-origin", "navigate", "document", "POST")


def lines(name: bytes, values: tuple[bytes, ...]) -> tuple[Field, ...]:
    return tuple((name, value) for value in values)


def request(method: str, **fields: tuple[bytes, ...]) -> BrowserRequest:
    return BrowserRequest(
        method,
        b"/",
        tuple(
            line
            for name, values in fields.items()
            for line in lines(name.replace("_", "-").encode(), values)
        ),
    )


def verdict(asked: BrowserRequest, guard: Guard) -> Code | None:
    try:
        refuse_cross_site(asked, ORIGIN, guard)
    except Refused as refused:
        return refused.code
    return None


def expected(case: tuple[str, str, str, str, str, str], guard: Guard) -> Code | None:
    site, mode, dest, method, proof, sent_origin = case
    is_safe = method in {"GET", "HEAD"}
    typed_in = site == "none" and mode == "navigate" and is_safe
    if site not in SITES_THAT_MAY_PASS or (site == "none" and not typed_in):
        return Code.CSRF_CROSS_SITE
    proves_nothing = site == "absent" and sent_origin == "absent" and not is_safe
    if sent_origin not in ORIGINS_THAT_MAY_PASS or proves_nothing:
        return Code.CSRF_ORIGIN
    if proof == "right":
        return None
    if is_safe and site != "absent" and (mode, dest) in WITHOUT_A_SCRIPT:
        return None
    if guard is Guard.FORM_LOGOUT and (site, mode, dest, method) == OWN_FORM:
        return None
    return Code.CSRF_MISSING


@pytest.mark.parametrize("guard", [Guard.COOKIE, Guard.FORM_LOGOUT])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("site", SITES)
def test_the_whole_matrix_of_fetch_metadata_method_proof_and_origin(
    site: str, method: str, guard: Guard
) -> None:
    cases = 0
    for mode, dest, proof, sent_origin in product(MODES, DESTS, PROOFS, ORIGINS):
        asked = request(
            method,
            sec_fetch_site=SITES[site],
            sec_fetch_mode=MODES[mode],
            sec_fetch_dest=DESTS[dest],
            x_csrf=PROOFS[proof],
            origin=ORIGINS[sent_origin],
        )
        case = (site, mode, dest, method, proof, sent_origin)
        assert verdict(asked, guard) == expected(case, guard), case
        cases += 1
    assert cases == len(MODES) * len(DESTS) * len(PROOFS) * len(ORIGINS)


SCRIPT = {"sec_fetch_mode": (b"cors",), "sec_fetch_dest": (b"empty",)}


def test_the_spa_calls_its_api() -> None:
    asked = request(
        "POST", sec_fetch_site=(b"same-origin",), origin=(OURS,), x_csrf=(b"1",), **SCRIPT
    )
    assert verdict(asked, Guard.COOKIE) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_scripts_fetch_without_the_proof_is_refused_even_from_our_origin_c1(method: str) -> None:
    asked = request(method, sec_fetch_site=(b"same-origin",), **SCRIPT)
    assert verdict(asked, Guard.COOKIE) is Code.CSRF_MISSING


def test_a_sibling_subdomain_is_hostile_even_with_the_proof_c3() -> None:
    asked = request(
        "GET", sec_fetch_site=(b"same-site",), origin=(b"https://b.example.com",), x_csrf=(b"1",)
    )
    assert verdict(asked, Guard.COOKIE) is Code.CSRF_CROSS_SITE


@pytest.mark.parametrize(
    "content_type", [(), (b"text/plain",), (b"application/x-www-form-urlencoded",)]
)
@pytest.mark.parametrize("sent_origin", [(), (b"https://evil.example",), (b"null",)])
def test_a_simple_request_of_an_old_browser_is_refused_c5_c7(
    content_type: tuple[bytes, ...], sent_origin: tuple[bytes, ...]
) -> None:
    asked = request("POST", content_type=content_type, origin=sent_origin)
    assert verdict(asked, Guard.COOKIE) is Code.CSRF_ORIGIN
    assert verdict(asked, Guard.FORM_LOGOUT) is Code.CSRF_ORIGIN


def test_the_origin_is_compared_with_configuration_and_never_with_host_c6() -> None:
    asked = request(
        "POST", host=(b"evil.example",), origin=(b"https://evil.example",), x_csrf=(b"1",)
    )
    assert verdict(asked, Guard.COOKIE) is Code.CSRF_ORIGIN


@pytest.mark.parametrize(
    ("sent_origin", "origin"),
    [
        (b"http://localhost:8080", PublicOrigin("http", "localhost", 8080)),
        (b"https://app.example.com:8443", PublicOrigin("https", "app.example.com", 8443)),
    ],
)
def test_an_origin_with_a_port_is_known_by_it(sent_origin: bytes, origin: PublicOrigin) -> None:
    refuse_cross_site(request("POST", origin=(sent_origin,), x_csrf=(b"1",)), origin, Guard.COOKIE)
    with pytest.raises(Refused):
        refuse_cross_site(request("POST", origin=(OURS,), x_csrf=(b"1",)), origin, Guard.COOKIE)


@pytest.mark.parametrize(
    ("referers", "method", "code"),
    [
        ((OURS + b"/",), "POST", None),
        ((OURS + b"/a?b",), "POST", None),
        ((OURS,), "POST", None),
        ((OURS + b"/a",), "GET", None),
        ((), "GET", None),
        ((), "POST", Code.CSRF_ORIGIN),
        ((b"",), "POST", Code.CSRF_ORIGIN),
        ((b"",), "GET", Code.CSRF_ORIGIN),
        ((b"https://evil.example/",), "POST", Code.CSRF_ORIGIN),
        ((b"https://evil.example/",), "GET", Code.CSRF_ORIGIN),
        ((OURS + b".evil.example/",), "POST", Code.CSRF_ORIGIN),
        ((OURS + b"@evil.example/",), "POST", Code.CSRF_ORIGIN),
        ((OURS + b":8443/",), "POST", Code.CSRF_ORIGIN),
        ((b"https://evil.example/" + OURS + b"/",), "POST", Code.CSRF_ORIGIN),
        ((b"http://app.example.com/",), "POST", Code.CSRF_ORIGIN),
        ((OURS + b"/", OURS + b"/"), "POST", Code.CSRF_ORIGIN),
    ],
)
def test_without_fetch_metadata_and_origin_the_referer_decides_c5(
    referers: tuple[bytes, ...], method: str, code: Code | None
) -> None:
    assert verdict(request(method, referer=referers, x_csrf=(b"1",)), Guard.COOKIE) is code


def test_a_foreign_referer_cannot_spoil_what_origin_or_metadata_prove() -> None:
    foreign = (b"https://evil.example/",)
    for asked in (
        request("POST", origin=(OURS,), referer=foreign, x_csrf=(b"1",)),
        request("POST", sec_fetch_site=(b"same-origin",), referer=foreign, x_csrf=(b"1",)),
    ):
        assert verdict(asked, Guard.COOKIE) is None


@pytest.mark.parametrize(
    ("accept", "site", "method", "code"),
    [
        ((b"text/event-stream",), b"same-origin", "GET", None),
        ((b"text/event-stream",), b"same-origin", "POST", Code.CSRF_MISSING),
        ((b"text/event-stream, */*",), b"same-origin", "GET", Code.CSRF_MISSING),
        ((b"*/*",), b"same-origin", "GET", Code.CSRF_MISSING),
        ((b"text/event-stream", b"text/event-stream"), b"same-origin", "GET", Code.CSRF_MISSING),
        ((b"text/event-stream",), b"cross-site", "GET", Code.CSRF_CROSS_SITE),
    ],
)
def test_an_event_source_of_our_origin_needs_no_proof(
    accept: tuple[bytes, ...], site: bytes, method: str, code: Code | None
) -> None:
    asked = request(method, sec_fetch_site=(site,), accept=accept, **SCRIPT)
    assert verdict(asked, Guard.COOKIE) is code


def test_an_event_source_without_fetch_metadata_proves_nothing() -> None:
    asked = request("GET", accept=(b"text/event-stream",), origin=(OURS,))
    assert verdict(asked, Guard.COOKIE) is Code.CSRF_MISSING


@pytest.mark.parametrize("name", ["x_http_method_override", "x_http_method", "x_method_override"])
def test_a_method_override_changes_nothing_c8(name: str) -> None:
    fields = {"sec_fetch_site": (b"same-origin",), "sec_fetch_mode": (b"navigate",)}
    as_post = request("POST", **fields, **{name: (b"GET",)})
    as_get = request("GET", **fields, **{name: (b"DELETE",)})
    assert verdict(as_post, Guard.COOKIE) is Code.CSRF_MISSING
    assert verdict(as_get, Guard.COOKIE) is None


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ((b"application/x-www-form-urlencoded",), None),
        ((b"Application/X-WWW-Form-Urlencoded; charset=utf-8",), None),
        ((b"multipart/form-data; boundary=x",), None),
        ((b"text/plain",), Code.CSRF_MISSING),
        ((b"application/json",), Code.CSRF_MISSING),
        ((), Code.CSRF_MISSING),
        ((b"application/x-www-form-urlencoded",) * 2, Code.CSRF_MISSING),
    ],
)
def test_an_old_browsers_logout_form_passes_by_its_origin_c12(
    content_type: tuple[bytes, ...], code: Code | None
) -> None:
    asked = request("POST", origin=(OURS,), content_type=content_type)
    assert verdict(asked, Guard.FORM_LOGOUT) is code
    assert verdict(asked, Guard.COOKIE) is Code.CSRF_MISSING


@pytest.mark.parametrize("name", ["sec_fetch_mode", "sec_fetch_dest", "sec_fetch_user"])
def test_half_of_fetch_metadata_is_not_an_old_browser(name: str) -> None:
    form = (b"application/x-www-form-urlencoded",)
    asked = request("POST", origin=(OURS,), content_type=form, **{name: (b"navigate",)})
    assert verdict(asked, Guard.FORM_LOGOUT) is Code.CSRF_MISSING


def test_a_form_with_our_referer_but_no_origin_is_not_enough() -> None:
    form = (b"application/x-www-form-urlencoded",)
    asked = request("POST", referer=(OURS + b"/",), content_type=form)
    assert verdict(asked, Guard.FORM_LOGOUT) is Code.CSRF_MISSING


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dest", DESTS)
def test_a_login_starts_with_a_top_level_navigation_from_anywhere_c11(
    site: str, mode: str, dest: str
) -> None:
    asked = request(
        "GET",
        sec_fetch_site=SITES[site],
        sec_fetch_mode=MODES[mode],
        sec_fetch_dest=DESTS[dest],
        x_csrf=(b"1",),
    )
    may = mode in {"absent", "navigate"} and dest in {"absent", "document"}
    assert verdict(asked, Guard.NAVIGATION) is (None if may else Code.LOGIN_NAVIGATION_ONLY)


@pytest.mark.parametrize("site", SITES)
def test_without_ambient_authority_nothing_is_asked(site: str) -> None:
    asked = request("POST", sec_fetch_site=SITES[site], origin=(b"https://evil.example",))
    assert verdict(asked, Guard.NONE) is None
