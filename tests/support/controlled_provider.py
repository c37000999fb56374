"""The certified provider with its faults and its counts: how it refreshes is the test's choice.

What can be planned stands in `tests/e2e/provider/control.mjs`.
"""

import base64
import contextlib
import json
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import PROVIDER, Program, free_port, running

CLIENT_SECRET = "e2e-client-secret-of-40-characters-00001"
RESOURCE = "https://api.example/"


@dataclass
class ControlledProvider:
    """A provider that runs."""

    issuer: str
    program: Program
    control: str

    def plan(self, **members: object) -> None:
        """Change what it does from now on."""
        self._ask("PUT", members)

    def start_anew(self) -> None:
        """Count from nothing, and do nothing out of the ordinary."""
        self._ask("DELETE")

    def grants(self, account: str | None = None) -> list[str]:
        """What became of every refresh grant, in order; of one person's if that is asked."""
        found = self._ask("GET")["grants"]
        return [one["outcome"] for one in found if account in (None, one["account"])]

    def refused(self) -> int:
        """How many connections were reset while it was down."""
        return int(self._ask("GET")["refused"])

    def issued(self) -> list[str]:
        """Every token it issued."""
        lines = self.program.output.splitlines()
        return [line.removeprefix("issued ") for line in lines if line.startswith("issued ")]

    def access_tokens(self) -> list[str]:
        """Every access token the provider issued, oldest first."""
        return [token for token in self.issued() if '"at+jwt"' in _head(token)]

    def revocations(self) -> int:
        """How many requests to revoke a token it had."""
        return self.program.output.count("\nrevoked ")

    def _ask(self, method: str, members: object = None) -> Any:
        body = None if members is None else json.dumps(members).encode()
        request = urllib.request.Request(self.control, body, method=method)  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
            return json.load(answer)


def _head(token: str) -> str:
    """The header of a JWT, or whatever is in its place."""
    part = token.partition(".")[0]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("ascii", "replace")


@contextlib.contextmanager
def controlled_provider(folder: Path, homes: Sequence[str]) -> Iterator[ControlledProvider]:
    """Run it for the length of a block, for one client that has these public origins."""
    port, control = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "port": port,
        "control": control,
        "issuer": issuer,
        "resource": RESOURCE,
        "clients": [
            {
                "client_id": "spa",
                "client_secret": CLIENT_SECRET,
                "redirect_uris": [f"{home}/bff/callback/main" for home in homes],
                "post_logout_redirect_uris": [f"{home}/bff/logged-out" for home in homes],
                "grant_types": ["authorization_code", "refresh_token"],
            }
        ],
    }
    command = ["node", "server.mjs", json.dumps(settings)]
    with running(command, folder / "provider.log", directory=PROVIDER) as program:
        program.wait_for("ready")
        yield ControlledProvider(issuer, program, f"http://127.0.0.1:{control}/")
