"""Unknown keys, missing keys, cookies, timeouts, dangers: what holds for the file as a whole."""

import pytest

from gateway.adapters.provider_http import BackChannelSettings
from gateway.edge.cookies import CookiePolicy, SameSite
from gateway.session.login import LoginPolicy
from gateway.session.model import SessionPolicy
from gateway.settings import Limits, Log, LogFormat
from gateway.web.site import ErrorsTo
from tests.unit.config.documents import ABSENT, check, errors, message, settings, warnings

LOCAL = {"public_origin": "http://localhost:3000"}
BARE = {**LOCAL, "dangerously_allow_insecure_cookies": True}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("listne", "listen"),
        ("Store", "store"),
        ("trustedProxies", "trusted_proxies"),
        ("dangerously_trust_all_proxys", "dangerously_trust_all_proxies"),
        ("listen.prot", "port"),
        ("session.idle_timout", "idle_timeout"),
        ("session.sameSite", "same_site"),
        ("providers.main.scope", "scopes"),
        ("routes.0.acess", "access"),
    ],
)
def test_an_unknown_key_is_an_error_with_the_name_that_was_meant(path: str, meant: str) -> None:
    _, findings = check({path: {"x": 1}})
    assert len(findings) == 1
    assert findings[0].path == path.replace(".0.", "[0].")
    assert f"did you mean {meant}?" in findings[0].message


def test_a_key_like_no_other_is_an_error_too() -> None:
    assert message({"zzz": 1}) == "unknown key"


def test_a_misspelt_key_is_not_reported_as_missing_as_well() -> None:
    changes = {
        "public_origin": ABSENT,
        "public_orgin": "https://app.example.com",
        "providers.main.client_secret": ABSENT,
        "providers.main.client_secrt": {"env": "CLIENT_SECRET"},
    }
    assert sorted(errors(changes)) == ["providers.main.client_secrt", "public_orgin"]


def test_a_misspelt_key_beside_the_right_one_hides_no_mistake_in_it() -> None:
    assert sorted(errors({"listne": {}, "listen.port": 0})) == ["listen.port", "listne"]


def test_an_unknown_key_hides_no_other_mistake_in_its_section() -> None:
    assert sorted(errors({"routes.0.zzz": 1, "routes.0.upstream": ABSENT})) == [
        "routes[0]",
        "routes[0].zzz",
    ]


def test_a_missing_section_is_reported() -> None:
    for name in ("public_origin", "store", "keys", "providers", "routes"):
        assert errors({name: ABSENT}) == [name]


def test_an_empty_file_misses_everything_at_once() -> None:
    _, findings = check(
        dict.fromkeys(("public_origin", "store", "keys", "providers", "routes"), ABSENT)
    )
    assert len(findings) == 5


@pytest.mark.parametrize(
    "section", ["listen", "admin", "store", "session", "login", "limits", "log"]
)
@pytest.mark.parametrize("value", ["text", 1, True, ["list"]])
def test_a_section_is_a_mapping(section: str, value: object) -> None:
    assert errors({section: value}) == [section]


def test_a_key_without_a_value_is_not_set() -> None:
    made = settings({"session": None, "log": {"level": None}, "trusted_proxies": None})
    assert made.session == SessionPolicy()
    assert made.log == Log()


@pytest.mark.parametrize("key", ["dangerously_trust_all_proxies", "providers.main.fetch_userinfo"])
@pytest.mark.parametrize("value", ["yes", 1, 0, "true", []])
def test_a_switch_is_true_or_false(key: str, value: object) -> None:
    assert errors({key: value}) == [key]


# -- cookies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "cookie",
        "cookies",
        "session.domain",
        "session.cookie_domain",
        "session.path",
        "session.secure",
        "session.http_only",
        "session.cookie_name",
        "session.name",
    ],
)
def test_what_would_break_the_cookies_prefix_is_no_setting(path: str) -> None:
    """B2: refuse to start, and say why."""
    assert errors({path: False}) == [path]
    assert "__Host-Http-" in message({path: "x"})


@pytest.mark.parametrize(("written", "same_site"), [("strict", "Strict"), ("lax", "Lax")])
def test_the_session_cookie_is_strict_or_lax(written: str, same_site: str) -> None:
    made = settings({"session.same_site": written})
    assert made.cookies == CookiePolicy(session_same_site=SameSite(same_site))


@pytest.mark.parametrize("written", ["none", "None", "NONE", "", "Strict", False])
def test_the_session_cookie_never_travels_from_other_sites(written: object) -> None:
    assert errors({"session.same_site": written}) == ["session.same_site"]


def test_by_default_cookies_are_as_strict_as_can_be() -> None:
    assert settings().cookies == CookiePolicy()
    assert settings().dangers == ()


def test_insecure_cookies_exist_on_localhost_alone() -> None:
    made = settings(BARE)
    assert made.cookies.secure is False
    assert made.dangers == ("dangerously_allow_insecure_cookies",)
    assert warnings(BARE) == ["dangerously_allow_insecure_cookies"]
    assert errors({"dangerously_allow_insecure_cookies": True}) == [
        "dangerously_allow_insecure_cookies"
    ]


def test_insecure_cookies_do_not_survive_a_form_post() -> None:
    """B4: SameSite=None needs Secure."""
    changes = {**BARE, "providers.main.response_mode": "form_post"}
    assert errors(changes) == ["providers.main.response_mode"]


def test_a_danger_that_is_off_is_none() -> None:
    changes = {**LOCAL, "dangerously_allow_insecure_cookies": False}
    assert settings(changes).dangers == ()


# -- sessions and logins --------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_policies() -> None:
    made = settings()
    assert made.session == SessionPolicy()
    assert made.login == LoginPolicy()
    assert made.errors_to is ErrorsTo.PAGE
    assert made.limits == Limits()
    assert made.back_channel == BackChannelSettings()
    assert made.log == Log("info", LogFormat.JSON)


def test_timeouts_are_read_in_seconds() -> None:
    made = settings(
        {"session": {"idle_timeout": "15m", "absolute_timeout": "8h", "refresh_margin": 30}}
    )
    assert made.session == SessionPolicy(900, 28800, 30)


@pytest.mark.parametrize(("written", "octets"), [(0, 0), ("8MiB", 8 * 1024**2)])
def test_memory_for_sessions_is_a_size_and_may_be_none(written: object, octets: int) -> None:
    assert settings({"session": {"cache_bytes": written}}).session.cache_bytes == octets


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"idle_timeout": "13h"}, "session.idle_timeout"),
        ({"idle_timeout": "2h", "absolute_timeout": "1h"}, "session.idle_timeout"),
        ({"idle_timeout": "1s"}, "session.idle_timeout"),
        ({"absolute_timeout": "401d"}, "session.absolute_timeout"),
        ({"refresh_margin": 0}, "session.refresh_margin"),
        ({"refresh_margin": "11m"}, "session.refresh_margin"),
        ({"refresh_margin": "5m", "idle_timeout": "5m"}, "session.refresh_margin"),
        ({"refresh_margin": "soon"}, "session.refresh_margin"),
    ],
)
def test_timeouts_that_make_no_sense_are_refused(section: dict[str, object], path: str) -> None:
    assert errors({"session": section}) == [path]


def test_one_bad_timeout_is_one_finding() -> None:
    assert errors({"session": {"absolute_timeout": "1s"}}) == ["session.absolute_timeout"]


def test_a_login_may_take_a_quarter_of_an_hour_at_most() -> None:
    """E18."""
    assert settings({"login.attempt_ttl": "15m"}).login.attempt_ttl == 900
    for value in ("16m", 0, "1h", -5):
        assert errors({"login.attempt_ttl": value}) == ["login.attempt_ttl"]


@pytest.mark.parametrize("path", ["/", "/home", "/#/home", "/a?b=c"])
def test_a_login_ends_on_a_path_of_ours(path: str) -> None:
    assert settings({"login.default_return_to": path}).login.default_return_to == path


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "home", "/\\evil", "/bff/login", "", 1]
)
def test_a_login_never_ends_elsewhere(path: object) -> None:
    """E13."""
    assert errors({"login.default_return_to": path}) == ["login.default_return_to"]


def test_the_app_may_explain_refused_logins_itself() -> None:
    assert settings({"login.errors_to": "app"}).errors_to is ErrorsTo.APP
    assert errors({"login.errors_to": "nowhere"}) == ["login.errors_to"]


@pytest.mark.parametrize("size", ["1KiB", 8000, "2MiB", "64kb", -1])
def test_header_limits_stay_between_what_clients_send_and_what_memory_takes(size: object) -> None:
    assert errors({"limits.max_header_bytes": size}) == ["limits.max_header_bytes"]


def test_limits_are_read_in_octets() -> None:
    made = settings({"limits": {"max_header_bytes": "32KiB", "max_body_bytes": "10MiB"}})
    assert made.limits == Limits(max_header_bytes=32768, max_body_bytes=10485760)


@pytest.mark.parametrize("level", ["INFO", "trace", 10, ""])
def test_a_log_level_is_one_of_four(level: object) -> None:
    assert errors({"log.level": level}) == ["log.level"]


def test_the_log_can_be_for_people() -> None:
    assert settings({"log": {"level": "debug", "format": "console"}}).log == Log(
        "debug", LogFormat.CONSOLE
    )
