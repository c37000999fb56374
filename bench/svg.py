"""A picture as a list of SVG elements: rectangles, lines, text, and a scale to place them on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

INK = "#24292f"
FAINT = "#d0d7de"
GREY = "#6e7781"
LIGHT, BLUE, DARK = "#54aeff", "#0969da", "#033d8b"
COLOURS = {
    "nginx": GREY,
    "gateway": BLUE,
    "oauth2-proxy": "#0a7d6c",
    "mod_auth_openidc": "#bf8700",
    "express": "#8250df",
    "python": "#cf222e",
}
"""Of the systems, by key: the same in every picture."""


@dataclass(slots=True)
class Picture:
    """An SVG document of this size in pixels. Its title is what a screen reader says."""

    width: int
    height: int
    title: str
    _elements: list[str] = field(default_factory=list)

    def rectangle(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """Add a filled rectangle."""
        self._add("rect", x=x, y=y, width=max(width, 0.5), height=height, fill=fill, rx=2)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 2) -> None:
        """Add a line through the points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._add("polyline", points=path, fill="none", stroke=colour, stroke_width=width)

    def dot(self, x: float, y: float, colour: str) -> None:
        """Add a point of a line."""
        self._add("circle", cx=x, cy=y, r=3, fill=colour)

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False
    ) -> None:
        """Add a line of text; its baseline begins, ends or is centred at x."""
        weight = ' font-weight="600"' if bold else ""
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def document(self) -> str:
        """Return the whole file."""
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" '
            f'height="{self.height}" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
        )
        return "\n".join(
            [
                opening,
                f"<title>{escape(self.title)}</title>",
                f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
                *self._elements,
                "</svg>\n",
            ]
        )

    def _add(self, kind: str, **attributes: float | str) -> None:
        written = (
            f"{name.replace('_', '-')}={quoteattr(_plain(value))}"
            for name, value in attributes.items()
        )
        self._elements.append(f"<{kind} {' '.join(written)}/>")


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value lies between two pixels; logarithmic, as the systems are far apart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def powers(self) -> list[float]:
        """Return the powers of ten on it."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


def scale_for(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a scale with room for all of these, from a power of ten to another."""
    low = 10.0 ** math.floor(math.log10(min(values)))
    high = 10.0 ** math.ceil(math.log10(max(values)))
    return Scale(low, high if high > low else low * 10, start, end)


def duration(microseconds: float) -> str:
    """Write a power of ten of microseconds."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:g} {unit}"
    return f"{microseconds:g} µs"


def short(value: float) -> str:
    """Write a power of ten as an axis does."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
