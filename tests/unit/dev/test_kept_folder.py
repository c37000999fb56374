"""Files that outlive the process: whole or not there, for one process at a time."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.dev.kept_folder import KeptFolder, made_once

Document = dict[str, object]


def as_it_is(document: Document) -> Document:
    return document


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path / "kept", 1)
    folder.write("some.json", {"name": "é \u2028", "numbers": [1, 2.5], "nothing": None})
    folder.close()
    read = KeptFolder(tmp_path / "kept", 1).read("some.json", as_it_is)
    assert read == {"name": "é \u2028", "numbers": [1, 2.5], "nothing": None}


def test_a_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path / "kept", 1)
    assert folder.read("some.json", as_it_is) is None
    assert folder.damaged == []


def test_another_version_is_damage(tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path / "kept", 1)
    folder.write("some.json", {"name": "a"})
    folder.close()
    newer = KeptFolder(tmp_path / "kept", 2)
    assert newer.read("some.json", as_it_is) is None
    assert newer.damaged == [tmp_path / "kept" / "some.json"]


@pytest.mark.parametrize("umask", [0o000, 0o777 & ~0o700])
def test_whatever_the_umask_only_the_owner_reads(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = KeptFolder(tmp_path / "kept", 1)
        folder.write("some.json", {"name": "a"})
        folder.write("some.json", {"name": "b"})
        made_once(tmp_path / "kept" / "secret", lambda: "s")
    finally:
        os.umask(before)
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "kept").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_reader_never_sees_half_of_a_document(tmp_path: Path) -> None:
    folder = KeptFolder(tmp_path / "kept", 1)
    documents: list[Document] = [{"all": [letter] * 20_000} for letter in "ab"]
    folder.write("some.json", documents[0])
    over = threading.Event()

    def write() -> None:
        for turn in range(200):
            folder.write("some.json", documents[turn % 2])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not over.is_set():
        found = json.loads((tmp_path / "kept" / "some.json").read_bytes())["all"]
        assert found in (documents[0]["all"], documents[1]["all"])
        seen += 1
    writer.join()
    assert seen > 0


def test_what_a_killed_writer_left_beside_is_cleared(tmp_path: Path) -> None:
    KeptFolder(tmp_path / "kept", 1).close()
    (tmp_path / "kept" / ".some.json-abcdefgh").write_text("half of a key")
    KeptFolder(tmp_path / "kept", 1)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["lock"]


def test_a_restart_waits_for_the_process_before_it_and_reads_its_last_word(tmp_path: Path) -> None:
    before = KeptFolder(tmp_path / "kept", 1)

    def finish() -> None:
        time.sleep(0.2)
        before.write("some.json", {"last": "word"})
        before.close()

    last = threading.Thread(target=finish)
    last.start()
    after = KeptFolder(tmp_path / "kept", 1, patience=30)
    assert after.read("some.json", as_it_is) == {"last": "word"}
    last.join()


def test_a_folder_that_is_held_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    holder = KeptFolder(tmp_path / "kept", 1)
    holder.write("some.json", {"name": "a"})
    with pytest.raises(OSError, match="--provider-port"):
        KeptFolder(tmp_path / "kept", 1, patience=0)
    assert holder.read("some.json", as_it_is) == {"name": "a"}


def test_a_secret_is_made_once_however_many_ask_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def ask(number: int) -> str:
        together.wait()
        return made_once(tmp_path / "secret", lambda: f"made by {number}" * 1000)

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(8)))
    assert answers == {(tmp_path / "secret").read_text()}
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
