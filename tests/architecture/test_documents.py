"""What the documents say is compared with the code, so that neither can drift."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from gateway import __version__
from gateway.adapters.metrics import Metrics, SupervisorMetrics
from gateway.edge.cookies import LOGIN_COOKIE, SESSION_COOKIE
from gateway.errors import Code
from gateway.session.model import SessionPolicy
from gateway.session.offering import RevocationCounts
from gateway.web.problems import PROBLEMS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)
every_decision = pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)

ONE_PAGE = 80  # lines of at most 120 characters


def _read(name: str) -> str:
    return (ROOT / name).read_text()


# -- errors.md ----------------------------------------------------------------------------------


def _error_sections() -> dict[str, str]:
    pieces = re.split(r"^### `([^`]+)`$", _read("docs/errors.md"), flags=re.MULTILINE)
    names, bodies = pieces[1::2], pieces[2::2]
    assert len(set(names)) == len(names), "a code is documented twice"
    # A section ends where the next group of codes begins.
    return {name: body.split("\n## ")[0] for name, body in zip(names, bodies, strict=True)}


def test_every_code_has_a_row_in_the_table_of_problems() -> None:
    assert set(PROBLEMS) == set(Code)


def test_every_code_is_documented_and_no_other() -> None:
    assert _error_sections().keys() == {code.value for code in Code}


@pytest.mark.parametrize("code", Code)
def test_the_documented_status_is_the_one_that_is_sent(code: Code) -> None:
    stated = re.findall(r"^- \*\*Status:\*\* (\d{3})$", _error_sections()[code.value], re.MULTILINE)
    assert stated == [str(PROBLEMS[code].status)]


@pytest.mark.parametrize("code", Code)
def test_a_documented_code_says_whose_fault_it_is_and_what_to_do(code: Code) -> None:
    labels = re.findall(r"^- \*\*(\w+):\*\* \S", _error_sections()[code.value], re.MULTILINE)
    assert labels == ["Status", "Fault", "Seen", "Do"]


def _raised_codes() -> set[str]:
    """Names of the codes that anything but the vocabulary and the table of problems mentions."""
    return {
        node.attr
        for path in (ROOT / "gateway").rglob("*.py")
        if path.name not in ("errors.py", "problems.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Code"
    }


@pytest.mark.parametrize("code", Code)
def test_a_code_that_nothing_raises_is_documented_as_such(code: Code) -> None:
    says_unused = "ot raised by this release" in _error_sections()[code.value]
    assert says_unused == (code.name not in _raised_codes())


# -- the threat model, and paths in general -----------------------------------------------------

_PATH = re.compile(
    r"`((?:gateway|tests|docs|config|deploy|bench|\.ci)/[A-Za-z0-9_./-]+|[A-Za-z.]+\.(?:md|toml|lock))`"
)
_TESTS = re.compile(r"`tests/[\w/]+\.py`(?:, `tests/[\w/]+\.py`)*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


@every_document
def test_every_file_a_document_names_exists(document: Path) -> None:
    named = set(_PATH.findall(_without_code_blocks(document.read_text())))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@every_document
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in _LINK.findall(_without_code_blocks(document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _without_code_blocks(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _threat_rows() -> list[list[str]]:
    """Rows of the tables threat | defence | test."""
    rows: list[list[str]] = []
    inside = False
    for line in _read("docs/threat-model.md").splitlines():
        if line == "| threat | defence | test |":
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_threat_model_has_threats() -> None:
    assert len(_threat_rows()) > 30


def test_every_threat_has_a_defence_and_a_test() -> None:
    incomplete = [
        cells[0]
        for cells in _threat_rows()
        if len(cells) != 3 or not cells[1] or not _TESTS.fullmatch(cells[2])
    ]
    assert incomplete == []


def test_every_attack_that_is_tested_is_in_the_threat_model() -> None:
    attacks = {path.name for path in (ROOT / "tests" / "attack").glob("test_*.py")}
    named = set(re.findall(r"tests/attack/(test_\w+\.py)", _read("docs/threat-model.md")))
    assert attacks, "there are no attack tests"
    assert attacks <= named


# -- decisions ----------------------------------------------------------------------------------


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@every_decision
def test_a_decision_has_its_parts_in_order(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {decision.stem[:4]} ")
    assert re.search(r"^\*\*Status:\*\* \w", text, re.MULTILINE)
    parts = [part for part in _headings(text) if part != "Changed from the plan"]
    assert parts == ["Context", "Decision", "Rejected", "Consequences"]


def _headings(text: str) -> list[str]:
    return [str(heading) for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)]


@every_decision
def test_a_decision_says_what_it_costs(decision: Path) -> None:
    consequences = decision.read_text().partition("## Consequences")[2]
    assert "**Negative" in consequences
    assert "**Residual" in consequences


@every_decision
def test_a_decision_fits_on_a_page(decision: Path) -> None:
    lines = decision.read_text().splitlines()
    assert len(lines) <= ONE_PAGE


def test_the_list_of_decisions_is_complete() -> None:
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", _read("docs/adr/README.md"))
    assert listed == [path.name for path in DECISIONS]


# -- the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "documented"),
    [
        ("idle_timeout", "30 minutes"),
        ("absolute_timeout", "12 hours"),
        ("refresh_margin", "60 seconds"),
    ],
)
def test_the_documented_durations_are_the_defaults(key: str, documented: str) -> None:
    assert f"| `{key}` | {documented} |" in _read("docs/sessions.md")
    number, unit = documented.split()
    seconds = int(number) * {"seconds": 1, "minutes": 60, "hours": 3600}[unit]
    assert getattr(SessionPolicy(), key) == seconds


@pytest.mark.parametrize("cookie", [SESSION_COOKIE, LOGIN_COOKIE])
def test_the_cookies_are_documented_by_their_names(cookie: str) -> None:
    assert f"| `{cookie}` |" in _read("docs/sessions.md")


def test_every_rule_that_is_cited_is_explained() -> None:
    cited = {
        number
        for path in (ROOT / "gateway").rglob("*.py")
        for number in re.findall(r"(?<![\w/-])[A-P]\d{1,2}(?![\w-])", path.read_text())
    }
    explained = set(re.findall(r"\*\*([A-P]\d{1,2})\*\*", _read("docs/glossary.md")))
    assert len(cited) > 50
    assert sorted(cited - explained) == []


def test_every_metric_is_documented_and_no_other() -> None:
    metrics = Metrics("1", ("dangerously_x",))
    metrics.observe(200, 0.1)
    metrics.tell_of_refreshes(dict, int)
    metrics.tell_of_revocations(RevocationCounts())
    text = (metrics.text() + SupervisorMetrics().text()).decode()
    counted = re.findall(r"^# TYPE (\w+)(?<!_created) ", text, re.MULTILINE)
    documented = re.findall(r"^\| `(gateway_\w+)", _read("docs/operations.md"), re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == set(counted)


def test_every_dependency_has_a_reason_and_every_reason_a_dependency() -> None:
    declared = tomllib.loads(_read("pyproject.toml"))["project"]["dependencies"]
    wanted = [requirement.partition(">=")[0] for requirement in declared]
    names = {name for words in wanted for name in re.findall(r"[a-z0-9-]+", words)}
    reasons = _read("docs/adr/0018-dependencies.md").partition("\nTo develop:")[0]
    explained = {
        name
        for line in reasons.splitlines()
        if re.match(r"\| (?!package )", line)
        for name in line.split("|")[1].strip().split(", ")
    }
    assert names == explained


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"\n## [{__version__}]" in _read("CHANGELOG.md")


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert tomllib.loads(_read("pyproject.toml"))["project"]["license"] == "Apache-2.0"
    text = _read("LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
