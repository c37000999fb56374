"""The pictures of `docs/performance.md`."""

from collections.abc import Sequence

from bench.figures import Figures, Growth
from bench.svg import BLUE, COLOURS, DARK, FAINT, GREY, LIGHT, Picture, duration, scale_for, short
from bench.targets import Table, ratio

_WIDTH = 860
_LEFT = 270  # room for names
_BAR = 22
_OURS = "gateway"


def pictures(table: Table) -> dict[str, str]:
    """Return the SVG files by name; a picture without figures is left out."""
    rows = [each for each in table.values() if each.key != "api" and each.per_second]
    found = {"throughput.svg": _throughput(rows)} if rows else {}
    if timed := [each for each in rows if each.p50 and each.p99 and each.p999]:
        found["latency.svg"] = _latency(timed)
    for name, title, axis, growth in (
        ("connections.svg", "Requests a second over connections", "connections", "connections"),
        ("sessions.svg", "Requests a second over live sessions", "live sessions", "sessions"),
    ):
        lines = [(each, getattr(each, growth)) for each in rows if len(getattr(each, growth)) > 1]
        if lines:
            found[name] = _growth(title, axis, lines)
    return found


def _throughput(rows: Sequence[Figures]) -> str:
    title = "Requests a second on one core, 32 connections"
    picture = Picture(_WIDTH, 50 + len(rows) * (_BAR + 12), title)
    picture.text(16, 26, title, bold=True)
    most = max(each.per_second or 0 for each in rows)
    ours = next((each.per_second for each in rows if each.key == _OURS), None)
    for number, each in enumerate(rows):
        y = 44 + number * (_BAR + 12)
        speed = each.per_second or 0
        length = speed / most * (_WIDTH - _LEFT - 190)
        picture.text(_LEFT - 10, y + 16, each.name, anchor="end", bold=each.key == _OURS)
        picture.rectangle(_LEFT, y, length, _BAR, BLUE if _OURS in each.key else GREY)
        times = ratio(ours, speed)
        compared = "" if each.key == _OURS or times is None else f"  (gateway: {times:.2f} ×)"
        picture.text(_LEFT + length + 8, y + 16, f"{speed:,.0f}{compared}")
    return picture.document()


def _latency(rows: Sequence[Figures]) -> str:
    title = "Latency at 60 % of each system's own throughput"
    top, gap = 64, 3 * 12 + 14
    picture = Picture(_WIDTH, top + len(rows) * gap + 34, title)
    picture.text(16, 26, title, bold=True)
    values = [value for each in rows for value in (each.p50, each.p999) if value]
    scale = scale_for(values, _LEFT, _WIDTH - 80)
    for power in scale.powers():
        x = scale(power)
        picture.line([(x, top - 8), (x, top + len(rows) * gap)], FAINT, 1)
        picture.text(x, top + len(rows) * gap + 18, duration(power), anchor="middle")
    shades = (("p50", LIGHT), ("p99", BLUE), ("p99.9", DARK))
    for number, (name, colour) in enumerate(shades):
        picture.rectangle(_LEFT + number * 80, 38, 12, 12, colour)
        picture.text(_LEFT + number * 80 + 18, 49, name)
    for number, each in enumerate(rows):
        y = top + number * gap
        picture.text(_LEFT - 10, y + 22, each.name, anchor="end", bold=each.key == _OURS)
        for line, value in enumerate((each.p50, each.p99, each.p999)):
            end = scale(value or scale.low)
            picture.rectangle(_LEFT, y + line * 12, end - _LEFT, 10, shades[line][1])
    return picture.document()


def _growth(title: str, axis: str, lines: Sequence[tuple[Figures, Growth]]) -> str:
    left, right, top, bottom = 70, 590, 46, 330
    picture = Picture(_WIDTH, bottom + 50, title)
    picture.text(16, 26, title, bold=True)
    across = scale_for([count for _, growth in lines for count, _ in growth], left, right)
    up = scale_for([speed for _, growth in lines for _, speed in growth], bottom, top)
    for power in up.powers():
        picture.line([(left, up(power)), (right, up(power))], FAINT, 1)
        picture.text(left - 8, up(power) + 4, short(power), anchor="end")
    for power in across.powers():
        picture.line([(across(power), top), (across(power), bottom)], FAINT, 1)
        picture.text(across(power), bottom + 18, short(power), anchor="middle")
    picture.text((left + right) / 2, bottom + 38, axis, anchor="middle")
    for number, (figures, growth) in enumerate(lines):
        colour = COLOURS.get(figures.key, LIGHT)
        points = [(across(count), up(speed)) for count, speed in growth]
        picture.line(points, colour, 3 if figures.key == _OURS else 2)
        for x, y in points:
            picture.dot(x, y, colour)
        picture.rectangle(right + 20, top + number * 24, 12, 12, colour)
        bold = figures.key == _OURS
        picture.text(right + 38, top + number * 24 + 11, figures.name, bold=bold)
    return picture.document()
