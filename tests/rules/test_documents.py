"""What the documentation lists is what there is, and its links lead somewhere."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from app import __version__
from app.actions.registry import ACTIONS
from app.assistant.tools import TOOLS
from app.assistant.turn import MAX_CALLS, MAX_CALLS_PER_ROUND, MAX_ROUNDS
from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import call_tool, refuse, say
from app.errors import problem_of
from app.rendering import Renderer
from app.services.errors import (
    Busy,
    ConversationNotFound,
    NotConfigured,
    PathNotFound,
    StorageFailed,
    TurnNotFound,
    TurnRunning,
    UpstreamError,
)
from app.settings import Settings
from tests.support import Person

TOP = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([TOP / "README.md", TOP / "CHANGELOG.md", *(TOP / "docs").glob("*.md")])
VARIABLE = re.compile(r"(?:LECTERN|OPENAI|FORGE|WOODPECKER|TASKS_SERVER)_[A-Z_]+")
PHASES = ("proposed", "sending", "done", "failed", "unknown", "dismissed", "invalid")


def text_of(name: str) -> str:
    return (TOP / name).read_text(encoding="utf-8")


def rows(name: str) -> Iterator[list[str]]:
    """The cells of every table's rows in a document, heads left out."""
    for line in text_of(name).splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            # A bar in code is written \| and is not the end of a cell.
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def words(cell: str) -> list[str]:
    """What stands as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


# Settings


def read_by_the_settings() -> set[str]:
    tree = ast.parse(text_of("app/settings.py"))
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and VARIABLE.fullmatch(text)}


def documented() -> dict[str, str]:
    """Each variable of docs/settings.md with its default."""
    found = {}
    for row in rows("docs/settings.md"):
        names = words(row[0])
        if len(row) == 3 and names and VARIABLE.fullmatch(names[0]):
            assert len(names) == 1, row
            found[names[0]] = row[1]
    return found


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert len(read_by_the_settings()) >= 20
    assert set(documented()) == read_by_the_settings()


def test_every_setting_is_in_the_example_once_and_commented_out() -> None:
    lines = [line for line in text_of(".env.example").splitlines() if "=" in line]
    names = [line.removeprefix("#").partition("=")[0] for line in lines]
    assert sorted(names) == sorted(read_by_the_settings())
    assert all(line.startswith("#") for line in lines)


def test_the_example_is_a_dotenv_that_starts_once_it_is_uncommented(tmp_path: Path) -> None:
    lines = re.findall(r"^#?([A-Z_]+=.*)$", text_of(".env.example"), re.MULTILINE)
    given = [line for line in lines if line.partition("=")[2]]
    given += ["FORGE_TOKEN=t", "OPENAI_API_KEY=k", "WOODPECKER_TOKEN=w"]
    (tmp_path / ".env").write_text("\n".join(given))
    settings = Settings.from_env({"LECTERN_ROOT": str(tmp_path)})
    assert settings.forge is not None
    assert settings.ci is not None
    assert settings.llm is not None


DEFAULTS = {
    "LECTERN_HOST": "127.0.0.1",
    "LECTERN_PORT": "8765",
    "LECTERN_MODE": "local",
    "LECTERN_MAX_CONCURRENT_TURNS": "16",
    "OPENAI_MODEL": "",
    "OPENAI_BASE_URL": "",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_documented_default_is_the_one_that_is_used(name: str, tmp_path: Path) -> None:
    (default,) = words(documented()[name])
    bare = {"LECTERN_ROOT": str(tmp_path), "OPENAI_API_KEY": "k"}
    assert Settings.from_env({**bare, name: default}) == Settings.from_env(bare)
    assert f"#{name}={default}\n" in text_of(".env.example")


def test_no_document_names_a_variable_that_is_not_read() -> None:
    known = read_by_the_settings() | {"LECTERN_TEST_BROWSER"}
    for path in DOCUMENTS:
        named = set(VARIABLE.findall(path.read_text(encoding="utf-8")))
        assert {n for n in named if n not in known and not n.endswith("_")} == set(), path.name


# Tools and actions


def test_every_tool_is_documented_with_its_arguments_and_nothing_else() -> None:
    shown = {
        name: ", ".join(p.name + ("" if p.is_required else "?") for p in tool.parameters)
        for name, tool in TOOLS.items()
    }
    calls = [word for row in rows("docs/assistant.md") for word in words(row[0]) if "(" in word]
    assert sorted(calls) == sorted(f"{name}({given})" for name, given in shown.items())


def test_the_documented_bounds_are_those_of_the_turn() -> None:
    bounds = {row[0]: row[1] for row in rows("docs/assistant.md") if len(row) == 2}
    assert bounds["tool calls"] == f"{MAX_CALLS_PER_ROUND} a round, {MAX_CALLS} a turn"
    assert bounds["rounds of tool calls in a turn"].startswith(f"{MAX_ROUNDS};")


def test_every_action_is_documented_with_its_fields_and_nothing_else() -> None:
    found = {
        words(row[0])[0]: words(row[1])
        for row in rows("docs/actions.md")
        if len(row) == 3 and row[0].startswith("`")
    }
    expected = {name: [*(f.name for f in a.fields), "repo"] for name, a in ACTIONS.items()}
    assert {name: sorted(fields) for name, fields in found.items()} == {
        name: sorted(fields) for name, fields in expected.items()
    }


def test_every_state_of_a_card_is_documented() -> None:
    states = [word for row in rows("docs/actions.md") if len(row) == 2 for word in words(row[0])]
    assert {*PHASES, "expired"} <= set(states)


# History


COMMON = {"v", "id", "ts", "user", "conversation", "turn", "role", "prev"}


def documented_keys() -> dict[str, set[str]]:
    return {
        words(row[0])[0]: set(words(re.sub(r"\([^)]*\)", "", row[1])))
        for row in rows("docs/history.md")
        if row[0].startswith("`")
    }


def test_every_key_of_every_record_is_documented(
    person: Person, model: Model, forgejo: Forgejo
) -> None:
    marker = '<action type="issue-create">{"title": "A title"}</action>'
    invalid = '<action type="issue-create">{"title": 7}</action>'
    model.script(
        call_tool("read_file", {"path": "docs/setup.md"}),
        say(f"Agreed.\n\n{marker}\n\n{marker.replace('A', 'Another')}\n\n{invalid}"),
        refuse(401),
    )
    told = person.ask("First?", doc="docs/setup.md")
    person.ask("Second?", doc="docs/setup.md")
    cards = [event["proposal"] for event in told["proposal"]]
    person.fetch("/chat/action/issue-create", "POST", json={"proposal": cards[0]})
    person.fetch(f"/chat/proposals/{cards[1]}/dismiss", "POST")
    conversation = told["start"][0]["conversation"]
    records = person.records(conversation)

    keys: dict[str, set[str]] = {}
    for record in records:
        assert record.keys() >= COMMON
        keys.setdefault(record["role"], set()).update(record.keys() - COMMON)
    assert {r["phase"] for r in records if r["role"] == "action"} >= {"sending", "done", "invalid"}
    known = documented_keys()
    assert set(keys) | {"hidden"} == set(known)
    for role, found in keys.items():
        assert found == known[role], role


def test_the_common_keys_are_documented() -> None:
    text = text_of("docs/history.md")
    assert {key for key in COMMON if f"`{key}`" not in text} == set()


# Errors

CODES: dict[str, tuple[Exception, int, str]] = {
    "a path": (PathNotFound("x"), 404, "not_found"),
    "a conversation": (ConversationNotFound(), 404, "not_found"),
    "a turn": (TurnNotFound(), 404, "not_found"),
    "a turn that runs": (TurnRunning(), 409, "turn_running"),
    "too much at once": (Busy("Busy.", retry_after_s=5), 503, "busy"),
    "a full disk": (StorageFailed("No room."), 507, "storage_failed"),
    "no model": (NotConfigured("llm", "Off."), 503, "llm_not_configured"),
    "no forge": (NotConfigured("forge", "Off."), 503, "forge_not_configured"),
}
UPSTREAM = {
    "timeout": 504,
    "unreachable": 502,
    "unauthorized": 502,
    "failed": 502,
    "bad_answer": 502,
    "moved": 502,
    "forbidden": 403,
    "not_found": 422,
    "archived": 422,
    "invalid": 422,
    "rate_limited": 429,
}


@pytest.mark.parametrize(("error", "status", "code"), CODES.values(), ids=CODES.keys())
def test_the_errors_have_the_codes_of_the_contract(
    error: Exception, status: int, code: str
) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert (problem.status, problem.code) == (status, code)
    assert problem.message.endswith(".")


@pytest.mark.parametrize(("code", "status"), UPSTREAM.items())
def test_what_an_upstream_does_is_answered_by_whose_cause_it_is(code: str, status: int) -> None:
    problem = problem_of(UpstreamError("No.", service="forge", code=code, retry_after_s=7))
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_after_s) == (status, code, 7)


def test_every_code_an_upstream_may_have_is_answered() -> None:
    """The codes that stand in the errors' own description."""
    told = re.search(r"is a stable word \((.*?)\)", UpstreamError.__doc__ or "", re.DOTALL)
    assert told is not None
    assert set(words(told[1])) == set(UPSTREAM)


def test_an_error_of_our_own_says_nothing_of_its_text() -> None:
    assert problem_of(ValueError("canary")) is None


# The documents themselves


def references(path: Path) -> Iterator[str]:
    """The links of a document that stay in the tree; code is left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            yield target


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


def test_every_link_in_a_document_leads_to_a_file_and_a_heading(renderer: Renderer) -> None:
    for path in DOCUMENTS:
        for target in references(path):
            name, _, fragment = target.partition("#")
            file = (path.parent / unquote(name)).resolve() if name else path
            assert file.exists(), f"{path.name}: {target}"
            if fragment:
                page = renderer.page(file.read_text(encoding="utf-8"), path=file.name)
                assert f'id="{fragment}"' in page.html, f"{path.name}: {target}"


def test_every_document_is_listed_in_the_overview() -> None:
    listed = set(references(TOP / "docs/README.md"))
    assert {p.name for p in (TOP / "docs").glob("*.md")} - {"README.md"} <= listed


def test_every_document_is_formatted_without_a_problem(renderer: Renderer) -> None:
    for path in DOCUMENTS:
        page = renderer.page(path.read_text(encoding="utf-8"), path=path.name)
        assert page.problem is None, path.name
        assert page.has_h1, path.name
        levels = [1, *(heading.level for heading in page.toc)]
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), path.name


def test_the_version_is_the_same_everywhere() -> None:
    setup = configparser.ConfigParser()
    setup.read(TOP / "setup.cfg")
    assert setup["metadata"]["version"] == __version__
    assert f"\n## {__version__}" in text_of("CHANGELOG.md")


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for path in DOCUMENTS:
        named = re.findall(r"(?:^|`)make ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, path.name


def test_every_module_of_the_architecture_exists_and_every_package_is_in_it() -> None:
    text = text_of("docs/architecture.md")
    for name in re.findall(r"`(app/[\w/.]+)`", text):
        assert (TOP / name).exists(), name
    tops = {
        p.name for p in (TOP / "app").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    missing = {n for n in tops if f"app/{n}`" not in text and f"app/{n}/`" not in text}
    assert missing == set()
