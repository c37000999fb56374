"""`gateway run`, once its options have been read: a process without the command line's libraries.

Workers are copies of this process, so whatever is loaded here is in the memory of every one.
`gateway run` becomes this program, with the same process id.
"""

import os
import sys
from pathlib import Path

from gateway.errors import Misconfigured
from gateway.workers import reading, reloading, supervisor

_INTERRUPTED = 130  # 128 and SIGINT, as shells say it


def main(config_file: Path) -> int:
    """Serve until told to stop; return the process's exit code."""
    try:
        found = reading.read(config_file, os.environ)  # noqa: TID251  handed to config
        if found.text:
            _say(f"{config_file}:", found.text)
        if found.settings is None:
            return _not_started(f"{config_file} has to be corrected first.")
        source = reloading.Source(config_file, os.environ)  # noqa: TID251  as above
        return supervisor.start(found.settings, source)
    except Misconfigured as failure:
        return _not_started(*(str(finding) for finding in failure.findings))
    except OSError as failure:
        return _not_started(failure.strerror or str(failure))
    except KeyboardInterrupt:
        return _INTERRUPTED


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _not_started(*reasons: str) -> int:
    _say(*(f"Not started: {reason}" for reason in reasons))
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
