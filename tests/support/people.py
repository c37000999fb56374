"""People who are logged in and ask an API for something; what they are told has to be theirs."""

from dataclasses import dataclass

from tests.support.crew import Crew
from tests.support.load import Load


@dataclass
class Person:
    """Somebody who is logged in, and what they ask of the API."""

    port: int
    cookie: str

    def get(self, path: str) -> tuple[bytes, bytes]:
        """A request, and the body of its answer."""
        return self._asking("GET", path, ""), f"GET /{path} ".encode()

    def post(self, path: str, body: str) -> tuple[bytes, bytes]:
        return self._asking("POST", path, body), f"POST /{path} {body}".encode()

    def _asking(self, method: str, path: str, body: str) -> bytes:
        length = f"content-length: {len(body)}\r\n" if body else ""
        return (
            f"{method} /api/{path} HTTP/1.1\r\nhost: localhost:{self.port}\r\n"
            f"sec-fetch-site: same-origin\r\nx-csrf: 1\r\n"
            f"cookie: {self.cookie}\r\n{length}\r\n{body}"
        ).encode()

    def load(self, name: str, *, clients: int, pause: float = 0.0, each: int = 0) -> Load:
        """People of this session who get and post; what they are told has to be theirs."""
        wanted = dict(
            [
                *(self.get(f"{name}/{number}?q={number}") for number in range(5)),
                *(self.post(f"{name}/{number}", "x" * 10 * number) for number in range(1, 3)),
            ]
        )
        return Load(self.port, list(wanted), clients, pause, per_connection=each, wanted=wanted)


async def person(crew: Crew) -> Person:
    return Person(crew.port, await crew.log_in())


def nobody_noticed(*loads: Load) -> None:
    for load in loads:
        assert load.lost == []
        assert load.wrong == []
        assert load.statuses.keys() == {200}
