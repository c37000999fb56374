"""The command line as an operator meets it: what it prints, and with which code it ends."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.dev.kept_folder import KeptFolder
from tests.support.processes import ROOT, free_port, gateway_command, running
from tests.support.world import CLIENT_SECRET, RING_KEY

pytestmark = pytest.mark.e2e

SECRETS = {"GATEWAY_KEY": RING_KEY, "CLIENT_SECRET": CLIENT_SECRET}

GOOD = """
public_origin: https://app.example.com
store: {url: "redis://127.0.0.1:6379/0"}
keys: [{id: k1, secret: {env: GATEWAY_KEY}}]
providers:
  main: {issuer: https://id.example.com, client_id: spa, client_secret: {env: CLIENT_SECRET}}
routes:
  - {path: /api/, upstream: "http://api:8080/", access: session}
"""


def ask(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **SECRETS, **more, "COLUMNS": "100", "TERM": "dumb"}
    return subprocess.run(  # noqa: S603  our own program
        gateway_command(*arguments),
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )


def written(folder: Path, text: str) -> str:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return str(file)


def test_check_says_that_a_good_file_is_good(tmp_path: Path) -> None:
    done = ask("check", "--config", written(tmp_path, GOOD))
    assert done.returncode == 0
    assert "is valid" in done.stdout
    assert "https://app.example.com" in done.stdout
    assert "main" in done.stdout


def test_check_names_every_mistake_with_its_place_and_shows_no_secret(tmp_path: Path) -> None:
    text = GOOD.replace("https://app", "http://app").replace("client_id", "clientid")
    done = ask("check", "-c", written(tmp_path, text), GATEWAY_KEY="changeme")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    for path in ("gateway.yaml:", "public_origin", "keys", "providers.main.clientid"):
        assert path in said
    assert "did you mean client_id" in said
    assert "changeme" not in said
    assert CLIENT_SECRET not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("text", ["", "[", "a: 1\na: 2\n", "\x00", "just words"])
def test_a_file_that_is_no_configuration_is_a_finding_not_a_traceback(
    tmp_path: Path, text: str
) -> None:
    for command in ("check", "run"):
        done = ask(command, "-c", written(tmp_path, text))
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr


def test_a_missing_file_is_named() -> None:
    done = ask("run", "--config", "/nowhere/gateway.yaml")
    assert done.returncode == 1
    assert "/nowhere/gateway.yaml" in done.stdout + done.stderr


def test_run_refuses_to_start_on_a_bad_file_and_says_so(tmp_path: Path) -> None:
    done = ask("run", "-c", written(tmp_path, GOOD), GATEWAY_KEY="short")
    assert done.returncode == 1
    assert "Not started" in done.stderr


def test_the_command_loads_nothing_from_where_it_is_called(tmp_path: Path) -> None:
    """It starts another program on its way, and such a program would look there first."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    witness = tmp_path / "loaded"
    for name in ("ssl", "structlog", "redis", "gateway"):
        (folder / f"{name}.py").write_text(f"open({str(witness)!r}, 'w').close()\n")
    done = subprocess.run(  # noqa: S603  our own program
        [str(Path(sys.executable).with_name("gateway")), "run", "-c", written(tmp_path, "[")],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "has to be corrected first" in done.stderr
    assert not witness.exists()


def started_with(options: list[str], folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `gateway run` in vain, with a `sitecustomize` of this code on PYTHONPATH."""
    place = folder / "places"
    place.mkdir()
    (place / "sitecustomize.py").write_text(code)
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, *options, "-m", "gateway", "run", "-c", written(folder, "[")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(place)},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("option", ["-I", "-E"])
def test_an_isolated_interpreter_stays_isolated(option: str, tmp_path: Path) -> None:
    """It starts another one on its way, which would believe the environment again."""
    witness = tmp_path / "loaded"
    done = started_with([option], tmp_path, f"open({str(witness)!r}, 'w').close()\n")
    assert done.returncode == 1
    assert "has to be corrected first" in done.stderr
    assert not witness.exists()


@pytest.mark.parametrize("option", ["-s", "-P", "-B", "-OO", "-Xutf8", "-Xdev", "-Wdefault", ""])
def test_options_of_the_interpreter_are_handed_on(option: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"import sys\nprint(sys.flags, sys.warnoptions, file=open({str(told)!r}, 'a'))\n"
    done = started_with([option] if option else [], tmp_path, code)
    assert "has to be corrected first" in done.stderr
    first, second = told.read_text().splitlines()
    assert first == second


def test_run_says_where_it_listens_and_that_the_store_does_not_answer_yet(tmp_path: Path) -> None:
    port, admin, nobody = free_port(), free_port(), free_port()
    text = GOOD.replace(":6379", f":{nobody}")
    listen = f"listen: {{host: 127.0.0.1, port: {port}}}\nadmin: {{port: {admin}}}\n"
    file = written(tmp_path, text + listen)
    with running(gateway_command("run", "-c", file), tmp_path / "log", SECRETS) as program:
        program.wait_until_answering(f"http://127.0.0.1:{admin}/livez")
        program.wait_for("the store does not answer yet")
        lines = [json.loads(line) for line in program.output.splitlines()]
    (listening,) = [line for line in lines if "listening on" in line.get("event", "")]
    assert f"127.0.0.1:{port} for https://app.example.com" in listening["event"]
    assert f"127.0.0.1:{admin}" in listening["event"]


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen = f"listen: {{host: 127.0.0.1, port: {port}}}\nadmin: {{port: {free_port()}}}\n"
        done = ask("run", "-c", written(tmp_path, GOOD + listen))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_ports_of_the_development_world_in_use_are_named_with_others_that_are_free(
    tmp_path: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = ask(
            "dev",
            *("--port", str(port), "--provider-port", str(port)),
            *("--api-port", str(free_port()), "--admin-port", str(free_port())),
            *("--directory", str(tmp_path / "state")),
        )
    assert done.returncode == 1
    assert done.stderr.count(f"Port {port} is in use") == 2
    advice = dict(re.findall(r"--([a-z-]+) ([0-9]+)", done.stderr))
    assert advice.keys() == {"port", "provider-port"}
    assert len({*advice.values(), str(port)}) == 3
    assert not (tmp_path / "state").exists()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a directory")
    options = ("--port", "--provider-port", "--api-port", "--admin-port")
    ports = [word for option in options for word in (option, str(free_port()))]
    done = ask("dev", *ports, "--directory", str(tmp_path / "state"))
    assert done.returncode == 1
    assert "Not started" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "place"),
    [("--app", "localhost:5173"), ("--app", "./nowhere"), ("--api", "api:3000")],
)
def test_a_mistaken_place_is_one_line_with_its_option(
    tmp_path: Path, option: str, place: str
) -> None:
    done = ask("dev", option, place, "--directory", str(tmp_path / "state"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Not started: {option} {place}: ")
    assert not (tmp_path / "state").exists()


def test_another_gateway_on_the_same_directory_and_provider_port_is_one_line(
    tmp_path: Path,
) -> None:
    port = free_port()
    holder = KeptFolder(tmp_path / f"provider-{port}", 1)
    options = ("--port", "--api-port", "--admin-port")
    ports = [word for option in options for word in (option, str(free_port()))]
    done = ask("dev", *ports, "--provider-port", str(port), "--directory", str(tmp_path))
    holder.close()
    assert done.returncode == 1
    assert "--provider-port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_that_is_none_is_refused_by_its_option(port: str) -> None:
    done = ask("dev", "--port", port)
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_the_schema_is_the_one_in_the_repository() -> None:
    done = ask("schema")
    assert done.returncode == 0
    kept = (ROOT / "config" / "schema.json").read_text()
    assert json.loads(done.stdout) == json.loads(kept)


@pytest.mark.parametrize("command", ["run", "check", "schema", "dev"])
def test_every_command_has_an_example_in_its_help(command: str) -> None:
    done = ask(command, "--help")
    assert done.returncode == 0
    assert f"gateway {command}" in done.stdout
    assert "Example" in done.stdout


def test_production_never_loads_the_development_world(tmp_path: Path) -> None:
    script = (
        "import sys; from gateway import app, cli, config; "
        "found = [name for name in sys.modules if name.startswith(('gateway.dev', 'authlib'))]; "
        "sys.exit(repr(found) if found else 0)"
    )
    done = subprocess.run(  # noqa: S603  our own program
        [*gateway_command()[:1], "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
