"""What the benchmark makes of its figures: ratios, verdicts, tables, pictures, a document."""

import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import columns, document, result
from bench.figures import Figures
from bench.plot import pictures
from bench.result import Result
from bench.svg import duration, scale_for
from bench.targets import TARGETS, verdicts
from bench.traffic import Run


def a_run(**changes: object) -> Run:
    values: dict[str, object] = {
        "per_second": 100.0,
        "octets_per_second": 17900.0,
        "p50": 10.0,
        "p99": 20.0,
        "p999": 30.0,
        "cpu": 40.0,
        "core": 0.9,
        "idle": 0.05,
        "reads": 1.0,
        "fault": None,
    }
    return Run(**{**values, **changes})  # type: ignore[arg-type]  # each of its own type


def a_table() -> dict[str, Figures]:
    table = {
        "api": Figures("api", "the API itself", single=20.0, per_second=70000.0),
        "nginx": Figures("nginx", "nginx", per_second=50000.0, bodies={"10m": 1e9}),
        "gateway": Figures(
            "gateway",
            "this gateway",
            per_second=25000.0,
            reads=0.0,
            p50=90.0,
            p99=400.0,
            p999=1500.0,
            single=70.0,
            bodies={"10m": 1.2e9},
            rest=59_000_000,
            per_channel={"sse": 26_000.0, "ws": None},
            connections=[(1, 9000.0), (1000, 20000.0)],
        ),
        "gateway-new-heads": Figures("gateway-new-heads", "all new", per_second=9000.0),
        "gateway-uncached": Figures("gateway-uncached", "uncached", per_second=12000.0),
        "express": Figures("express", "Express <BFF>", per_second=3000.0, p50=1, p99=2, p999=3),
        "oauth2-proxy": Figures("oauth2-proxy", "oauth2-proxy", missing="Go builds it"),
    }
    table["gateway"].notes.append("idle channels (ws) not measured: refused")
    return table


def a_result() -> Result:
    return Result("make bench", "2026-11-24", "2 cores", "abc", 0.1, 0.02, 12.0, a_table())


def test_targets_are_ratios_of_one_run_and_what_was_not_measured_is_not_met() -> None:
    found = {verdict.target.text: verdict for verdict in verdicts(a_table())}
    assert len(found) == len(TARGETS)
    nginx = found["requests/s, of nginx `proxy_pass`"]
    assert (nginx.found, nginx.met) == (0.5, True)
    uncached = found["requests/s uncached, of cached"]
    assert (uncached.found, uncached.met) == (0.48, False)
    stream = found["memory for an idle event stream"]
    assert (stream.found, stream.met) == (26.0, False)
    assert found["resident memory of a worker at rest"].met is True
    assert found["requests/s, of oauth2-proxy + Redis"].met is None
    assert found["memory for an idle WebSocket"].met is None


def test_targets_of_an_empty_run_are_not_measured() -> None:
    assert {verdict.met for verdict in verdicts({})} == {None}


def test_a_peer_that_could_not_be_installed_is_named_with_the_reason() -> None:
    rows = columns.speed_rows(a_table())
    assert ["oauth2-proxy", "not measured: Go builds it"] in rows


def test_added_latency_is_without_the_api_itself() -> None:
    (ours,) = [row for row in columns.speed_rows(a_table()) if row[0] == "this gateway"]
    assert ours[1:4] == ["25,000", "0.50 ×", "1.00 ×"]
    assert ours[4:8] == ["90 µs", "400 µs", "1.5 ms", "50 µs"]


@pytest.mark.parametrize("reads", [0.5, 1.0])
def test_a_cached_run_that_read_the_store_is_not_passed_off_as_cached(reads: float) -> None:
    table = a_table()
    assert not any("cache was not in use" in note for note in columns.notes(table))
    table["gateway"].reads = reads
    assert any("cache was not in use" in note for note in columns.notes(table))


def test_an_idle_core_is_told() -> None:
    table = a_table()
    table["nginx"].idle = 0.4
    assert any("its core was idle for 40%" in note for note in columns.notes(table))


def test_a_run_with_a_fault_does_not_count_and_says_why() -> None:
    figures = Figures("x", "x")
    good = figures.counted("throughput", [a_run(), a_run(fault="3 × status 502")])
    assert len(good) == 1
    assert figures.notes == ["throughput: 1 of 2 runs do not count: 3 × status 502"]


def test_others_are_whoever_used_the_rest_of_the_core() -> None:
    assert math.isclose(a_run(core=0.6, idle=0.1).others, 0.3)
    assert a_run(core=1.1, idle=0.0).others == 0


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "results" / "latest.json"
    a_result().write(file)
    again = result.read(file)
    assert columns.speed_rows(again.table) == columns.speed_rows(a_table())
    assert [v.met for v in verdicts(again.table)] == [v.met for v in verdicts(a_table())]
    assert not again.shared


def test_the_document_keeps_what_people_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n\n{document.BEGIN}\nold\n{document.END}\n\nafter\n")
    monkeypatch.setattr(document, "DOCUMENT", page)
    monkeypatch.setattr(document, "PICTURES", tmp_path / "performance")
    document.write(a_result())
    document.write(a_result())
    text = page.read_text()
    assert text.startswith("before\n\n" + document.BEGIN)
    assert text.endswith(document.END + "\n\nafter\n")
    assert text.count(document.BEGIN) == 1
    assert "old" not in text
    assert "| ✘ |" in text
    assert "Go builds it" in text
    for name in ("throughput.svg", "latency.svg", "connections.svg"):
        assert f"(performance/{name})" in text
        assert (tmp_path / "performance" / name).exists()


def test_the_published_page_has_the_markers_once() -> None:
    text = document.DOCUMENT.read_text()
    assert text.count(document.BEGIN) == text.count(document.END) == 1


def test_a_disturbed_result_says_that_it_is_preliminary() -> None:
    assert "Preliminary" not in document.section_of(a_result(), [])
    disturbed = Result("make bench", "2026-11-24", "2 cores", "abc", 3.0, 0.02, 12.0, a_table())
    assert "Preliminary" in document.section_of(disturbed, [])


def test_pictures_are_well_formed_whatever_a_system_is_called() -> None:
    drawn = pictures(a_table())
    assert set(drawn) == {"throughput.svg", "latency.svg", "connections.svg"}
    for text in drawn.values():
        root = ET.fromstring(text)  # noqa: S314  written a line above
        assert root.tag.endswith("svg")
        assert root[0].tag.endswith("title")
    assert "Express &lt;BFF&gt;" in drawn["throughput.svg"]


def test_nothing_measured_draws_nothing() -> None:
    assert pictures({}) == {}


def test_a_scale_goes_from_a_power_of_ten_to_another() -> None:
    scale = scale_for([30, 4000], 0, 300)
    assert (scale.low, scale.high) == (10, 10000)
    assert scale(100) == pytest.approx(100)
    assert scale.powers() == [10, 100, 1000, 10000]
    assert scale_for([100], 0, 1).high > scale_for([100], 0, 1).low


@pytest.mark.parametrize(("value", "text"), [(10, "10 µs"), (10_000, "10 ms"), (1e7, "10 s")])
def test_durations_have_the_unit_people_use(value: float, text: str) -> None:
    assert duration(value) == text


def test_where_nothing_repeats_the_peers_are_compared_with_that_row() -> None:
    (line,) = [note for note in columns.notes(a_table()) if note.startswith("all new: ")]
    assert line == "all new: 0.18 × nginx; 3.00 × Express <BFF>"
