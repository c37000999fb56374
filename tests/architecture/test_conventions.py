"""The habits of this code base that a reviewer would otherwise have to remember."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gateway"

MAX_LINES = 320

MUTABLE_DATACLASSES: dict[str, str] = {
    # The development identity provider's memory: what was spent, revoked or logged in.
    "dev/browser_sessions.py::BrowserSession": "a browser logs in and out there",
    "dev/records.py::Grant": "is revoked as a whole",
    "dev/records.py::AuthorizationCode": "is spent once",
    "dev/records.py::Token": "is spent and revoked",
}

MADE_ONLY_IN: dict[str, set[str]] = {
    # A narrow type is a promise, kept by the one function that makes it: whoever holds a value
    # may skip the check. So it is made in one module, which is small enough to read.
    "Target": {"edge/target.py"},
    "PublicOrigin": {"edge/host.py", "config/network.py"},  # a stand-in, when it is a mistake
    "SafeReturnTo": {"edge/return_to.py"},
    "Endpoint": {"edge/routes.py"},
    "UpstreamRequest": {"edge/outgoing.py"},
    "AuthorizationCode": {"oidc/callback.py"},
    "AuthorizationCodeValue": {"oidc/callback.py"},
    "Metadata": {"oidc/metadata.py", "config/providers.py"},  # published, or configured
    "Identity": {"oidc/id_token.py"},
    "LogoutToken": {"oidc/logout_token.py"},
    "LogoutOrder": {"oidc/logout_token.py"},
    "Grant": {"oidc/token_endpoint.py"},
    "SignedToken": {"adapters/jose.py"},
    "KeySet": {"adapters/jose.py"},
    "SessionHandle": {"session/sealing.py"},
    "LoginBinding": {"session/sealing.py"},
    "IndexName": {"session/sealing.py"},
    "BoundAttempt": {"session/attempts.py"},
    "CodeVerifier": {"session/attempts.py"},
    "Settings": {"config/building.py"},
    "Listed": {"session/indexes.py"},
    "SessionId": {"session/manager.py"},
    # The store hands lookup ids back as it was given them.
    "LookupId": {
        "session/sealing.py",
        "adapters/redis_store.py",
        "adapters/redis_tracking.py",
    },
    # Made at a login, opened from the store.
    "Facts": {"session/establishing.py", "session/codec.py"},
    "Nonce": {"session/attempts.py", "session/codec.py"},
    "Session": {"session/manager.py", "session/codec.py"},
    "Tokens": {"session/establishing.py", "session/codec.py"},
    # Granted by a provider, opened from the store.
    "AccessToken": {"oidc/token_endpoint.py", "session/codec.py"},
    "RefreshToken": {
        "oidc/token_endpoint.py",
        "session/codec.py",
        "session/revocation_entries.py",  # opened from the queue
    },
    "IdToken": {"oidc/token_endpoint.py", "session/codec.py"},
    # Sealed by us, read back from the store.
    "StoredRecord": {"session/codec.py", "adapters/redis_scripts.py"},
}

THE_OTHER_SIDE = "dev/"  # a provider has codes and grants of its own

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "stuff", "base"}

WHERE_ADAPTERS_ARE_CHOSEN = ("app.py", "composition.py", "logs.py", "dev/", "workers/supervisor.py")

# What a log line, an audit line or an exception text is made with.
_SAYING = {
    "log", "_log", "logger", "_logger", "logging", "audit", "_audit", "console", "_errors",
    "AuditEvent", "record", "_record", "_failed", "print", "echo", "format_exc",
}  # fmt: skip

_ASKING_ABOUT_TYPES = {"isinstance", "issubclass", "cast", "TypeVar"}


@dataclass(frozen=True, slots=True)
class Module:
    """One source file of the package and its syntax tree."""

    name: str
    text: str
    tree: ast.Module


def _read(path: Path) -> Module:
    text = path.read_text()
    return Module(path.relative_to(PACKAGE).as_posix(), text, ast.parse(text))


MODULES = [_read(path) for path in sorted(PACKAGE.rglob("*.py"))]
BY_NAME = {module.name: module for module in MODULES}

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public_definitions(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield inside + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public_definitions(node.body, f"{inside}{node.name}.")


def _classes(module: Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def _called_name(call: ast.Call) -> str:
    return _name(call.func.value if isinstance(call.func, ast.Subscript) else call.func)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _made_by(call: ast.Call) -> set[str]:
    """What a call makes: `Nonce(text)`, and also `optional(Nonce, text)` or `map(Nonce, texts)`."""
    called = _called_name(call)
    if called in _ASKING_ABOUT_TYPES:
        return set()
    return {called} | {_name(argument) for argument in call.args}


def _names_in(node: ast.expr) -> set[str]:
    """Every name on the way to what is called: `self._audit.record` gives all three."""
    found = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    return found | {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _says_something(node: ast.Call | ast.Raise) -> bool:
    return isinstance(node, ast.Raise) or bool(_names_in(node.func) & _SAYING)


def _reveals(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == "reveal" for part in ast.walk(node))


def test_the_package_is_being_looked_at() -> None:
    assert len(MODULES) > 40
    assert {"errors.py", "edge/target.py", "session/login.py"} <= BY_NAME.keys()


@every_module
def test_a_module_says_what_it_is_for(module: Module) -> None:
    assert (ast.get_docstring(module.tree) or "").strip()


@every_module
def test_what_is_public_is_described(module: Module) -> None:
    silent = [
        f"{module.name}:{node.lineno} {name}"
        for name, node in _public_definitions(module.tree.body)
        if not (ast.get_docstring(node) or "").strip()
    ]
    assert silent == []


@every_module
def test_a_file_is_short_enough_to_be_read_at_once(module: Module) -> None:
    assert len(module.text.splitlines()) <= MAX_LINES


@every_module
def test_values_do_not_change(module: Module) -> None:
    changeable = []
    for node in _classes(module):
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            name = call.func if call else decorator
            if not isinstance(name, ast.Name | ast.Attribute):
                continue
            if (name.id if isinstance(name, ast.Name) else name.attr) != "dataclass":
                continue
            frozen = call is not None and any(
                word.arg == "frozen"
                and isinstance(word.value, ast.Constant)
                and word.value.value is True
                for word in call.keywords
            )
            where = f"{module.name}::{node.name}"
            if not frozen and where not in MUTABLE_DATACLASSES:
                changeable.append(where)
    assert changeable == []


def test_every_dataclass_that_may_change_exists() -> None:
    existing = {f"{module.name}::{node.name}" for module in MODULES for node in _classes(module)}
    assert MUTABLE_DATACLASSES.keys() <= existing


@pytest.mark.parametrize("narrow", MADE_ONLY_IN)
def test_a_narrow_type_is_made_in_its_one_place(narrow: str) -> None:
    makers = {
        module.name
        for module in MODULES
        if not module.name.startswith(THE_OTHER_SIDE)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and narrow in _made_by(node)
    }
    # Somebody makes it, or the entry is out of date; nobody else does.
    assert makers == MADE_ONLY_IN[narrow]


@every_module
def test_a_secret_is_never_revealed_to_a_log_or_an_error(module: Module) -> None:
    told = [
        f"{module.name}:{node.lineno}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call | ast.Raise) and _says_something(node) and _reveals(node)
    ]
    assert told == []


@every_module
def test_a_file_name_says_what_is_inside(module: Module) -> None:
    parts = {word for part in Path(module.name).with_suffix("").parts for word in part.split("_")}
    assert not parts & VAGUE_NAMES


@every_module
def test_only_the_composition_chooses_an_implementation(module: Module) -> None:
    if module.name.startswith(WHERE_ADAPTERS_ARE_CHOSEN):
        return
    # The parts of one adapter know each other.
    own = "gateway." + module.name.rpartition("/")[0].replace("/", ".") + "."
    taken = [
        f"{module.name}:{node.lineno} {alias.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway.adapters.")
        if own == "gateway.adapters." or not (node.module or "").startswith(own)
        for alias in node.names
        if alias.name in IMPLEMENTATIONS
    ]
    assert taken == []


def test_every_port_the_composition_asks_for_has_an_implementation() -> None:
    assert PORTS.keys() >= PARTS
    assert sorted(PARTS - set().union(*IMPLEMENTATIONS.values())) == []


def test_every_other_protocol_of_the_ports_is_spoken_of_by_a_port() -> None:
    """What a port hands out or is handed: made by its adapter, or by whoever calls it."""
    spoken_of = {
        word.id
        for module in PORT_MODULES
        for node in _classes(module)
        for word in ast.walk(node)
        if isinstance(word, ast.Name) and word.id != node.name
    }
    assert sorted(PORTS.keys() - PARTS - spoken_of) == []


def test_the_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    outcome = subprocess.run(  # noqa: S603 - our own tool, without a shell
        [lint_imports, "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def _methods(node: ast.ClassDef) -> frozenset[str]:
    return frozenset(
        member.name
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
        and not member.name.startswith("_")
    )


def _ports() -> dict[str, frozenset[str]]:
    """Name and methods of every protocol in `ports/`."""
    return {
        node.name: _methods(node)
        for module in PORT_MODULES
        for node in _classes(module)
        if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
    }


def _implementations() -> dict[str, set[str]]:
    """Adapter classes and the ports they have all methods of; ports are not inherited from."""
    classes = {
        node.name: _methods(node)
        for module in MODULES
        if module.name.startswith("adapters/")
        for node in _classes(module)
        if not node.name.startswith("_")
    }
    ports = {
        name: {port for port, wanted in PORTS.items() if wanted <= methods}
        for name, methods in classes.items()
    }
    return {name: found for name, found in ports.items() if found}


def _parts() -> set[str]:
    """The ports of which the composition root takes one implementation each."""
    (parts,) = [node for node in _classes(BY_NAME["composition.py"]) if node.name == "Parts"]
    return {_name(line.annotation) for line in parts.body if isinstance(line, ast.AnnAssign)}


PORT_MODULES = [module for module in MODULES if module.name.startswith("ports/")]
PORTS = _ports()
PARTS = _parts()
IMPLEMENTATIONS = _implementations()


def test_what_tests_share_is_no_test() -> None:
    borrowed = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.module}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and ".test_" in (node.module or "")
    ]
    assert borrowed == []  # tests/support is for that


PURE = [module for module in MODULES if module.name.startswith(("edge/", "oidc/"))]
CALCULATION = {
    "base64",
    "binascii",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "re",
    "string",
    "types",
    "typing",
}
"""What pure code may take from the standard library, besides urllib.parse: it only calculates."""


@pytest.mark.parametrize("module", PURE, ids=lambda module: module.name)
def test_pure_code_takes_only_calculation_from_the_standard_library(module: Module) -> None:
    taken = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            taken |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            taken.add(node.module or "")
    foreign = {
        name
        for name in taken - {"urllib.parse"}
        if name.partition(".")[0] not in CALCULATION | {"gateway"}
    }
    assert foreign == set()
