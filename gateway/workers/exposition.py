"""The metrics of several processes as one exposition (Prometheus text format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping

_Families = dict[str, tuple[list[str], list[str]]]
"""By name: the comment lines, HELP and TYPE, and the samples."""


def merged(own: str, workers: Mapping[int, str]) -> str:
    """Return all samples, those of a worker with its number as the label `worker`.

    The text format wants a family's samples together, and its HELP and TYPE once.
    """
    families: _Families = {}
    _collect(own.splitlines(), families)
    for number, text in workers.items():
        _collect(_labelled(text.splitlines(), number), families)
    return "".join(
        f"{line}\n" for comments, samples in families.values() for line in (*comments, *samples)
    )


def _collect(lines: Iterable[str], families: _Families) -> None:
    name = ""
    comments_wanted = True
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            comments_wanted = name not in families
        comments, samples = families.setdefault(name, ([], []))
        if not line.startswith("#"):
            samples.append(line)
        elif comments_wanted:
            comments.append(line)


def _labelled(lines: Iterable[str], number: int) -> Iterator[str]:
    label = f'worker="{number}"'
    for line in lines:
        if line.startswith("#"):
            yield line
            continue
        name, brace, rest = line.partition("{")
        if brace and " " not in name:
            yield f"{name}{{{label}{'' if rest.startswith('}') else ','}{rest}"
        else:
            name, _, value = line.partition(" ")
            yield f"{name}{{{label}}} {value}"
