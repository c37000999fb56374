"""Pictures of pages, for a person to look at: `build/screenshots/`, which git ignores.

No picture is compared with another: fonts differ from machine to machine. What can be asserted is
that a page fits, that is, that nobody has to scroll sideways.
"""

from playwright.sync_api import Page

from tests.support.processes import ROOT

FOLDER = ROOT / "build" / "screenshots"
WIDTHS = {1280: 900, 390: 844}  # a laptop, a phone

_TOO_WIDE = """() => {
  const limit = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= limit) return [];
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > limit + 1)
    .map((element) => element.outerHTML.slice(0, 200));
}"""


def picture(page: Page, name: str, *, dark: bool = False) -> None:
    """Save the whole page as it looks at each width; it must fit each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    page.emulate_media(color_scheme="dark" if dark else "light")
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        shade = "-dark" if dark else ""
        page.screenshot(path=FOLDER / f"{name}-{width}{shade}.png", full_page=True)
        assert page.evaluate(_TOO_WIDE) == [], f"{name} is wider than {width}"
    page.emulate_media(color_scheme="light")
    if before is not None:
        page.set_viewport_size(before)


def stay_on_the_hop_page(page: Page, address: str) -> None:
    """Answer the next load of `address` with 204, on which a browser stays where it is."""
    page.route(address, lambda route: route.fulfill(status=204), times=1)
