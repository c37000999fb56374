"""The development world's configuration: whatever is put into it, it is the one that loads."""

from pathlib import Path

import pytest

from gateway import config
from gateway.dev import world
from gateway.edge.routes import ToStatic, ToUpstream
from gateway.settings import Settings

PORTS = world.Ports(8080, 9400, 9500, 9090)


def settings_of(directory: Path, *, app: str = "", api: str = "") -> Settings:
    prepared = world.prepare(directory, PORTS, app=app, api=api)
    settings, findings = config.check(prepared.config_file, {})
    assert settings is not None, config.render(findings)
    return settings


def destinations(settings: Settings) -> dict[str, str]:
    return {
        route.path: route.to.origin + route.to.base_path.decode()
        if isinstance(route.to, ToUpstream)
        else route.to.directory
        for route in settings.routes
    }


def test_without_options_the_samples_are_served(tmp_path: Path) -> None:
    found = destinations(settings_of(tmp_path / "state"))
    assert found["/api/"] == "http://127.0.0.1:9500/"
    assert found["/api/public/"] == "http://127.0.0.1:9500/public/"
    assert Path(found["/"], "index.html").exists()


@pytest.mark.parametrize("api", ["http://127.0.0.1:3000", "http://127.0.0.1:3000/"])
def test_an_api_of_ones_own_takes_the_place_of_the_sample(tmp_path: Path, api: str) -> None:
    found = destinations(settings_of(tmp_path / "state", api=api))
    assert found["/api/"] == "http://127.0.0.1:3000/"
    assert found["/api/reports/"] == "http://127.0.0.1:3000/reports/"


def test_an_app_may_be_a_development_server_that_gets_no_token(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "state", app="http://localhost:5173")
    (app,) = [route for route in settings.routes if route.path == "/"]
    assert isinstance(app.to, ToUpstream)
    assert app.to.origin == "http://localhost:5173"
    assert app.to.token == "none"


@pytest.mark.parametrize("name", ["dist", 'a "quoted" # place', "ünï: ['x']", "a😀b"])
def test_an_app_may_be_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    settings = settings_of(tmp_path / "state", app=str(folder))
    (app,) = [route for route in settings.routes if route.path == "/"]
    assert isinstance(app.to, ToStatic)
    assert app.to.directory == str(folder)


@pytest.mark.parametrize(
    "api",
    [
        "127.0.0.1:3000",
        "http://127.0.0.1:3000/ # x",
        "http://127.0.0.1:3000/\n    access: public",
        "'",
        "@app@",
        "http://127.0.0.1:8080/",
    ],
)
def test_an_address_that_is_none_is_a_finding_and_never_another_setting(
    tmp_path: Path, api: str
) -> None:
    prepared = world.prepare(tmp_path / "state", PORTS, api=api)
    settings, findings = config.check(prepared.config_file, {})
    assert settings is None
    assert "routes" in config.render(findings)


def test_the_secrets_of_a_machine_are_kept_and_read_by_nobody_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    world.prepare(state, PORTS)
    before = {name: (state / name).read_bytes() for name in ("key", "client-secret")}
    world.prepare(state, PORTS)
    for name, octets in before.items():
        assert (state / name).read_bytes() == octets
        assert (state / name).stat().st_mode & 0o077 == 0
