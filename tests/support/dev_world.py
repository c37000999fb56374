"""`gateway dev` as a program, and a person who logs in there."""

from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.support.processes import Program


@dataclass
class DevWorld:
    """`gateway dev`, as `make run` starts it."""

    home: str
    issuer: str
    admin: str
    program: Program


def log_in(page: Page, world: DevWorld, name: str = "Ada Lovelace") -> None:
    page.goto(world.home)
    page.get_by_role("button", name="Log in").first.click()
    page.wait_for_url(f"{world.issuer}/**")
    page.get_by_role("button", name=name).click()
    page.wait_for_url(f"{world.home}/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text(name.split(maxsplit=1)[0])
