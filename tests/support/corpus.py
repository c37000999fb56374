"""What every parser of ours is fed in every run: `tests/corpus/NAME.txt`.

A line is a JSON string in which each character is one octet. Whatever made a parser stumble is
added there and stays; lines beginning with `#` say why something is in it.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "corpus"


def read_corpus(name: str) -> list[bytes]:
    """Every line of a corpus, as octets."""
    lines = (FOLDER / f"{name}.txt").read_text("ascii").splitlines()
    return [octets_of(line) for line in lines if line and not line.startswith("#")]


def octets_of(line: str) -> bytes:
    return str(json.loads(line)).encode("latin-1")


def line_of(octets: bytes) -> str:
    """How octets are written in a corpus."""
    return json.dumps(octets.decode("latin-1"))
