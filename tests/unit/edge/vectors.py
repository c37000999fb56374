"""Reads tests/vectors/*.txt: a verdict, a blank, and a JSON string on each line."""

import json
from pathlib import Path

_VECTORS = Path(__file__).parents[2] / "vectors"


def read_vectors(name: str) -> list[tuple[str, str]]:
    """Return (verdict, text) pairs; comments and empty lines are left out."""
    pairs = []
    for line in (_VECTORS / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            verdict, _, text = line.partition(" ")
            pairs.append((verdict, str(json.loads(text))))
    return pairs
