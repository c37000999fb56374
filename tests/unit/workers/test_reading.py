"""The configuration is read by a child, and arrives whole."""

import logging
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import config
from gateway.errors import Misconfigured
from gateway.workers import reading
from tests.support.processes import ROOT
from tests.support.world import CLIENT_SECRET, RING_KEY

TEXT = """
public_origin: https://app.example.com
listen: {accepted_hosts: [a.internal]}
trusted_proxies: [10.0.0.0/8, "fd00::/8"]
store: {url: "redis://127.0.0.1:6379/0", password: {env: CLIENT_SECRET}}
keys: [{id: k1, secret: {file: key}}]
providers:
  main: {issuer: https://id.example.com, client_id: spa, client_secret: {env: CLIENT_SECRET}}
routes:
  - {path: /api/, upstream: "http://api:8080/", access: session}
  - {path: /files/, static: site, access: public}
"""
ENVIRON = {"CLIENT_SECRET": CLIENT_SECRET}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "key").write_text(RING_KEY)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "gateway.yaml").write_text(TEXT)
    return tmp_path / "gateway.yaml"


def test_settings_arrive_as_they_were_read(file: Path) -> None:
    found = reading.read(file, ENVIRON)
    settings, findings = config.check(file, ENVIRON)
    assert found.settings == settings
    assert found.settings is not None
    assert list(found.findings) == [(one.level.value, str(one)) for one in findings]


async def test_a_second_reading_beside_a_loop_finds_the_same(file: Path) -> None:
    assert await reading.read_again(file, ENVIRON) == reading.read(file, ENVIRON)


@pytest.fixture
def spoilt(file: Path) -> Path:
    file.write_text(TEXT.replace("https://app", "http://app").replace("access: public", "acces: 1"))
    return file


async def test_mistakes_arrive_one_by_one(spoilt: Path) -> None:
    for found in (reading.read(spoilt, ENVIRON), await reading.read_again(spoilt, ENVIRON)):
        assert found.settings is None
        places = [line.partition(":")[0] for level, line in found.findings if level == "error"]
        assert "public_origin" in places
        assert "routes[1].acces" in places
        assert "public_origin" in found.text


async def test_a_reader_that_dies_is_a_failed_reading(file: Path) -> None:
    class Broken(dict[str, str]):
        def get(self, *_: object) -> str:
            os._exit(1)

    with pytest.raises(Misconfigured):
        reading.read(file, Broken())
    with pytest.raises(Misconfigured):
        await reading.read_again(file, Broken())


def test_a_secret_in_a_pipe_is_read_once(file: Path) -> None:
    pipe = file.parent / "pipe"
    os.mkfifo(pipe, 0o600)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    file.write_text(TEXT.replace("file: key", "file: ./pipe"))
    writer = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-c", f"open({str(pipe)!r}, 'w').write({RING_KEY!r})"]
    )
    found = reading.read(file, ENVIRON)
    assert writer.wait(10) == 0
    assert found.settings is not None


def test_secrets_still_refuse_every_other_copy(file: Path) -> None:
    found = reading.read(file, ENVIRON)
    with pytest.raises(TypeError):
        pickle.dumps(found)


def test_who_has_others_read_does_not_load_what_reads(file: Path) -> None:
    script = (
        "import sys, pathlib; from gateway.workers import reading, supervisor; "
        f"found = reading.read(pathlib.Path({str(file)!r}), {ENVIRON!r}); "
        "assert found.settings; "
        "sys.exit(repr([name for name in ('pydantic', 'yaml', 'authlib') if name in sys.modules]))"
    )
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"


def test_reading_writes_nothing_anywhere(
    file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    reading.read(file, ENVIRON)
    out, err = capfd.readouterr()
    assert (out, err, caplog.text) == ("", "", "")
