"""Four web servers of different make, each of which tells the request-target it received."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT, Program, free_port, missing, running

HERE = Path(__file__).parent

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error crit;
events {{ worker_connections 64; }}
http {{
  log_format target escape=none 'target $request_uri'; access_log {log} target;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  large_client_header_buffers 4 64k; merge_slashes off;
  server {{
    listen 127.0.0.1:{port};
    location / {{ default_type text/plain; return 200 $request_uri; }}
  }}
}}
"""


@dataclass(frozen=True)
class TargetServer:
    """A running server; it prints a line for whatever reaches it."""

    name: str
    port: int
    log: Path

    def arrived(self) -> list[str]:
        """Every request so far, as the server tells it."""
        lines = self.log.read_text("latin-1").splitlines()
        return [line for line in lines if line.startswith(("target ", "strange"))]

    def arrived_with(self, last: str) -> list[str]:
        """The same, once this target is among them; servers write after they answer."""
        deadline = time.monotonic() + 10
        while f"target {last}" not in (arrived := self.arrived()):
            assert time.monotonic() < deadline, arrived[-3:]
            time.sleep(0.01)
        return arrived


def nginx_binary() -> str:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        missing("nginx", "apt-get install nginx")
    assert binary is not None
    return binary


def _nginx(folder: Path, port: int, log: Path) -> list[str]:
    binary = nginx_binary()
    file = folder / "target-nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port, log=log))
    return [binary, "-p", str(folder), "-c", str(file), "-e", str(folder / "nginx.error")]


def _node(_: Path, port: int, __: Path) -> list[str]:
    binary = shutil.which("node")
    if binary is None:
        missing("node", "install Node.js 20 or newer")
    assert binary is not None
    return [binary, "--max-http-header-size=65536", str(HERE / "node.mjs"), str(port)]


def _python(module: str) -> Callable[[Path, int, Path], list[str]]:
    return lambda _, port, __: [sys.executable, "-m", f"{__name__}.{module}", str(port)]


MAKES: dict[str, Callable[[Path, int, Path], list[str]]] = {
    "uvicorn": _python("asgi"),
    "node": _node,
    "nginx": _nginx,
    "http-server": _python("standard_library"),
}


@contextlib.contextmanager
def target_server(name: str, folder: Path) -> Iterator[TargetServer]:
    """Run one for the length of a block."""
    port = free_port()
    log = folder / f"{name}.log"
    own = log.with_suffix(".access") if name == "nginx" else log
    program: Program
    with running(MAKES[name](folder, port, own), log, directory=ROOT) as program:
        program.wait_until_answering(f"http://127.0.0.1:{port}/ready")
        yield TargetServer(name, port, own)
