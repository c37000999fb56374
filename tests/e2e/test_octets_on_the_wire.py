"""Octets nobody would send, at a real gateway over real sockets: never a 500, never a trace.

`tests/attack/test_bad_input.py` asks the same of the application; here the server, its parser and
what lies between them take part. Continuous integration throws the same octets every time.
"""

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Code
from gateway.web.problems import PROBLEMS
from tests.support.http_answer import AnswerReader, Closed, WireAnswer
from tests.support.processes import ROOT, Program, free_port, gateway_command, running
from tests.support.provider import FakeProvider
from tests.support.provider_server import serving_api, serving_provider
from tests.support.wild_requests import METHODS, Thrown, requests
from tests.support.world import CLIENT_SECRET, RING_KEY, SESSION, World

pytestmark = pytest.mark.e2e

STATUS_OF = {code.value: PROBLEMS[code].status for code in Code if code is not Code.INTERNAL}
ACCEPTED = {200, 204, 206, 303, 304} | {status for status in STATUS_OF.values() if status != 500}
PATIENCE = 15.0  # seconds for an answer that has to come
SILENCE = 0.2  # seconds after which a request that may be unfinished is left alone

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass
class Gate:
    """A gateway process, its provider, and a cookie jar for those who want to be logged in."""

    port: int
    admin: str
    program: Program
    provider: FakeProvider

    @property
    def host(self) -> bytes:
        return b"localhost:%d" % self.port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def ask(self, target: bytes, *lines: bytes) -> WireAnswer:
        """One plain navigation, as a browser sends it."""
        head = [b"GET %s HTTP/1.1" % target, b"Host: " + self.host, b"Connection: close", *lines]
        head.append(b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nSec-Fetch-Dest: document")
        with self.connect() as link:
            link.sendall(b"\r\n".join([*head, b"", b""]))
            return AnswerReader(link).read(b"GET")

    def begin(self) -> tuple[bytes, bytes]:
        """Start a login; the login cookie, and the query of the answer that would finish it."""
        started = self.ask(b"/bff/login")
        asked = dict(parse_qsl(urlsplit(started.one(b"location")).query.decode()))
        answer = urlencode(self.provider._authorize(asked)).encode()
        return started.one(b"set-cookie").partition(b";")[0], answer

    def log_in(self) -> bytes:
        """A Cookie value that carries a live session."""
        login, query = self.begin()
        finished = self.ask(b"/bff/callback/main?" + query, b"Cookie: " + login)
        session = finished.one(b"set-cookie").partition(b";")[0]
        assert session.startswith(SESSION.encode())
        return login + b"; " + session

    def is_unharmed(self) -> None:
        """Alive, quick with an honest request, and without a trace in what it wrote."""
        with urllib.request.urlopen(f"{self.admin}/livez") as answer:  # noqa: S310  loopback
            assert answer.status == 200
        assert self.ask(b"/bff/session", b"Cookie: " + self.log_in()).status == 200
        assert self.program.process.poll() is None
        written = self.program.output
        for sign in ("Traceback", "internal error", "Error:", "Exception", '  File "', "ASGI"):
            assert sign not in written, written[max(0, written.find(sign) - 2000) :][:4000]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("octets")
    port, admin = free_port(), free_port()
    file = folder / "gateway.yaml"
    environ = {"RING_KEY": RING_KEY, "CLIENT_SECRET": CLIENT_SECRET}
    with serving_api() as api, serving_provider() as provider:
        file.write_text(yaml.safe_dump(configuration(port, admin, api, provider.issuer)))
        command = gateway_command("run", "--config", str(file))
        with running(command, folder / "log", environ) as program:
            program.wait_until_answering(f"http://127.0.0.1:{admin}/readyz")
            yield Gate(port, f"http://127.0.0.1:{admin}", program, provider)
    assert "Traceback" not in program.output  # nor when it was stopped


def configuration(port: int, admin: int, api: str, issuer: str) -> dict[str, object]:
    def route(path: str, access: str, **more: object) -> dict[str, object]:
        return {"path": path, "upstream": f"{api}/v1/", "access": access, **more}

    return {
        "public_origin": f"http://localhost:{port}",
        "listen": {"host": "127.0.0.1", "port": port},
        "admin": {"host": "127.0.0.1", "port": admin},
        "store": {"url": "embedded:store"},
        "keys": [{"id": "k", "secret": {"env": "RING_KEY"}}],
        "log": {"level": "debug"},
        "providers": {
            "main": {
                "issuer": issuer,
                "client_id": "spa",
                "client_secret": {"env": "CLIENT_SECRET"},
                "scopes": ["openid", "profile"],
            }
        },
        "routes": [
            route("/api/", "session"),
            route("/maybe/", "optional"),
            route("/open/", "public", token="none"),
            {
                "path": "/app/",
                "static": str(ROOT / "gateway" / "dev" / "app"),
                "access": "public",
            },
        ],
    }


def places() -> list[tuple[bytes, bytes]]:
    """Method and path of all there is: endpoints by the gateway's own account, kinds of routes."""
    own = [
        (
            method.encode(),
            f"/bff/{name}main".encode() if name.endswith("/") else f"/bff/{name}".encode(),
        )
        for name, methods in World().gateway.endpoints.paths().items()
        for method in methods
    ]
    routes = [b"/api/x", b"/maybe/x", b"/open/x", b"/app/", b"/app/main.js", b"/app/deep/er"]
    nowhere = [b"/", b"/bff", b"/bff/", b"/bff/nothing", b"/bff/callback/nobody", b"*"]
    reading = [(b"GET", path) for path in [*routes, *nowhere]]
    writing = [(method, path) for path in routes for method in METHODS]
    return [*own, *own, *reading, *writing]


PLACES = places()


def judge(answer: WireAnswer) -> None:
    """An answer we stand by: a status of the table, with the code that belongs to it."""
    assert answer.status in ACCEPTED, answer
    if answer.status < 400 or not answer.body:
        return
    if answer.one(b"content-type") == b"application/problem+json":
        code = json.loads(answer.body)["code"]
    else:
        found = re.search(rb"<dt>Code</dt><dd>([a-z_.]+)</dd>", answer.body)
        assert found is not None, answer
        code = found[1].decode()
    assert STATUS_OF[code] == answer.status, code


@pytest.mark.parametrize("who", ["nobody", "somebody", "somebody logging in"])
def test_no_request_at_any_endpoint_is_a_500_or_goes_unanswered(gate: Gate, who: str) -> None:
    @EXAMPLES
    @given(thrown=requests(PLACES))
    def throw(thrown: Thrown) -> None:
        mine: list[tuple[bytes, bytes]] = []
        if who == "somebody":
            mine = [(b"Cookie", gate.log_in())]
        elif who == "somebody logging in":
            login, query = gate.begin()
            mine = [(b"Cookie", login)]
            thrown = thrown.as_answer_of_a_login(query)
        with gate.connect() as link:
            link.settimeout(SILENCE if thrown.may_be_unfinished else PATIENCE)
            link.sendall(thrown.on_the_wire(gate.host, mine))
            answers = AnswerReader(link)
            try:
                answer = answers.read(thrown.method)
            except (Closed, TimeoutError):
                assert thrown.may_be_unfinished
                return
            judge(answer)
            if thrown.may_be_unfinished or thrown.version != b"HTTP/1.1":
                return
            if answer.one(b"connection") == b"close":
                return
            # The next request on the connection is read from its own first octet on.
            link.sendall(b"GET /open/next HTTP/1.1\r\nHost: " + gate.host + b"\r\n\r\n")
            following = answers.read(b"GET")
            assert (following.status, following.body) == (200, b"ok")

    throw()
    gate.is_unharmed()


WHOLE = [
    b"GET /open/a%2Fb?x=1 HTTP/1.1\r\nHost: HERE\r\n\r\n",
    b"GET /bff/session HTTP/1.1\r\nHost: HERE\r\nCookie: COOKIE\r\nX-CSRF: 1\r\n\r\n",
    b"POST /open/up HTTP/1.1\r\nHost: HERE\r\nContent-Length: 5\r\n\r\nhello",
    (
        b"POST /bff/callback/main HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        b"6\r\ncode=x\r\n8;ext=1\r\n&state=y\r\n0\r\nX-Trailer: 1\r\n\r\n"
    ),
    (
        b"GET /api/x HTTP/1.1\r\nHost: HERE\r\nCookie: COOKIE\r\nSec-Fetch-Site: same-origin\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
]
changes = st.lists(
    st.tuples(
        st.sampled_from(["insert", "overwrite", "delete", "repeat"]),
        st.integers(min_value=0, max_value=400),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b": ", b" ", b"\xff\xfe", b"0\r\n\r\n"]),
        ),
    ),
    min_size=1,
    max_size=2,
)


def spoiled(octets: bytes, change: tuple[str, int, bytes]) -> bytes:
    how, place, new = change
    at = place % (len(octets) + 1)
    if how == "insert":
        return octets[:at] + new + octets[at:]
    if how == "overwrite":
        return octets[:at] + new + octets[at + len(new) :]
    if how == "delete":
        return octets[:at] + octets[at + len(new) :]
    return octets[: at + len(new)] + octets[at:]


def test_no_request_damaged_on_its_way_is_a_500(gate: Gate) -> None:
    cookie = gate.log_in()

    @EXAMPLES
    @given(whole=st.lists(st.sampled_from(WHOLE), min_size=1, max_size=2), damage=changes)
    def throw(whole: list[bytes], damage: list[tuple[str, int, bytes]]) -> None:
        sent = b"".join(whole).replace(b"HERE", gate.host).replace(b"COOKIE", cookie)
        for change in damage:
            sent = spoiled(sent, change)
        with gate.connect() as link:
            link.settimeout(SILENCE)
            link.sendall(sent)
            answers = AnswerReader(link)
            for _ in range(len(whole) + len(damage)):
                try:
                    judge(answers.read(b"GET"))
                except (Closed, TimeoutError):
                    return

    throw()
    gate.is_unharmed()


def test_no_octets_at_all_are_a_500(gate: Gate) -> None:
    @EXAMPLES
    @given(sent=st.binary(min_size=1, max_size=2000))
    def throw(sent: bytes) -> None:
        with gate.connect() as link:
            link.settimeout(SILENCE)
            link.sendall(sent)
            try:
                answer = AnswerReader(link).read(b"GET")
            except (Closed, TimeoutError):
                return
            assert 400 <= answer.status < 500
            judge(answer)

    throw()
    gate.is_unharmed()
