"""YAML into plain values, with the line of each, and without YAML's traps.

A repeated key is an error and not "the last one wins": of two `access` lines on a route, the
reader sees one and the program obeys the other. Dates stay text (a key id may be `2026-11-01`).
"""

from collections.abc import Iterator

import yaml

from gateway.config.findings import Path, Report

_TEXT = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

# What PyYAML raises for values it cannot make sense of, `!!int x` or `!!bool x` for example.
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError)
_TOO_DEEP = "is nested deeper than any configuration; a bracket may be missing"


class _Loader(yaml.SafeLoader):
    """Safe values only, and no dates."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class NotYaml(Exception):
    """The text is not YAML; the message names the place and repeats nothing of the text."""


def read_document(text: str, report: Report) -> dict[str, object]:
    """Return the top mapping, and note the line of every value in `report.sources`.

    What is wrong is reported; what could be read is returned.
    """
    try:
        root = _compose(text)
        if root is None:
            return {}
        _survey(root, report)
        values = _construct(root)
    except NotYaml as trouble:
        report.unreadable((), str(trouble))
        return {}
    if not isinstance(values, dict):
        report.unreadable((), "must be a mapping: lines of the form `key: value`")
        return {}
    return values


def read_value(text: str) -> object:
    """Return one value, as an environment variable holds it. Raises `NotYaml`."""
    root = _compose(text)
    return None if root is None else _construct(root)


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as trouble:
        raise NotYaml(_place(trouble)) from None
    except yaml.YAMLError:
        raise NotYaml("is not YAML: it holds characters that text does not have") from None
    except RecursionError:
        raise NotYaml(_TOO_DEEP) from None


def _construct(root: yaml.Node) -> object:
    loader = _Loader("")
    try:
        return loader.construct_document(root)
    except _UNREADABLE:
        raise NotYaml("is not plain YAML: a tag, or a value that does not fit its tag") from None
    except RecursionError:
        raise NotYaml(_TOO_DEEP) from None
    finally:
        loader.dispose()


def _place(trouble: yaml.MarkedYAMLError) -> str:
    # Other kinds of trouble quote names from the text: `*hunter2` is an alias to YAML.
    said = trouble.problem if isinstance(trouble, yaml.scanner.ScannerError) else None
    mark = trouble.problem_mark or trouble.context_mark
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    hint = "quote values that hold any of * & ! % @ : #, and indent with spaces"
    return f"is not YAML{where}: {said or 'an unexpected structure'}; {hint}"


def _survey(root: yaml.Node, report: Report) -> None:
    """Note every value's line, and report repeated keys."""
    pending: list[tuple[Path, yaml.Node, tuple[int, ...]]] = [((), root, ())]
    while pending:
        path, node, above = pending.pop()
        if id(node) in above:
            raise NotYaml("is not plain YAML: an alias that contains itself")
        for key, child in _children(path, node, report):
            report.sources[(*path, key)] = child.start_mark.line + 1
            pending.append(((*path, key), child, (*above, id(node))))


def _children(path: Path, node: yaml.Node, report: Report) -> Iterator[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if key.tag != _TEXT:
            continue
        if key.value in seen:
            report.unreadable(
                (*path, key.value),
                f"is there twice, first in line {seen[key.value]}, then in {line}",
            )
        else:
            seen[key.value] = line
            yield key.value, child
