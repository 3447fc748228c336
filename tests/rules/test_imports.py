"""Imports run downwards: who may know whom, and what loading a module may cost."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
WEB = ("flask", "flask_login", "werkzeug", "jinja2", "gunicorn")


@dataclass(frozen=True)
class Import:
    """One name a module imports, and whether it does so only when it is called."""

    module: str
    name: str
    is_lazy: bool

    def is_of(self, *packages: str) -> bool:
        return any(self.name == p or self.name.startswith(f"{p}.") for p in packages)


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of ours; the sample repository is data."""
    return {
        _name(path): ast.parse(path.read_text(encoding="utf-8"))
        for path in (TOP / "app").rglob("*.py")
        if "demo/repository" not in path.as_posix()
    }


def _name(path: Path) -> str:
    name = ".".join(path.relative_to(TOP).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def imports(*, with_types: bool = False) -> tuple[Import, ...]:
    return tuple(
        found
        for module, tree in trees().items()
        for found in _imports(module, tree.body, is_lazy=False, with_types=with_types)
    )


def _imports(
    module: str, body: list[ast.stmt], *, is_lazy: bool, with_types: bool
) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not with_types:
            continue
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, is_lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative path"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield Import(module, full if full in trees() else str(node.module), is_lazy)
        inside = is_lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        blocks = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
        blocks += [handler.body for handler in getattr(node, "handlers", ())]
        for block in blocks:
            yield from _imports(module, block, is_lazy=inside, with_types=with_types)


def those_of(*packages: str) -> Iterator[Import]:
    """What the modules of these packages import."""
    own = Import("", "", is_lazy=False)
    for found in imports():
        own = Import("", found.module, is_lazy=False)
        if own.is_of(*packages):
            yield found


def test_the_modules_are_found() -> None:
    assert {"app", "app.services.llm", "app.assistant.turn", "app.demo.model"} <= set(trees())
    assert len(imports()) > 300


@pytest.mark.parametrize("package", ["services", "assistant", "actions", "formatting", "settings"])
def test_what_is_below_the_pages_knows_no_web_framework(package: str) -> None:
    found = imports(with_types=True)
    own = [i for i in found if Import("", i.module, is_lazy=False).is_of(f"app.{package}")]
    assert own
    assert [i for i in own if i.is_of(*WEB)] == []


ALLOWED = {
    "app.settings": (),
    "app.services": ("app.services", "app.settings"),
    "app.assistant": ("app.assistant", "app.services"),
    "app.actions": ("app.actions", "app.services"),
    "app.formatting": ("app.formatting",),
    "app.rendering": ("app.render_cache", "app.render_pool"),
    "app.render_pool": (),
    "app.render_cache": (),
    "app.render_worker": ("app.formatting",),
    "app.demo": ("app.demo",),
    "app.assets": (),
    "app.mount": (),
    "app.addresses": (),
    "app.state": ("app.services", "app.settings"),
    "app.sse": ("app.services",),
    "app.shell": ("app.services",),
}


@pytest.mark.parametrize(("package", "allowed"), ALLOWED.items(), ids=ALLOWED.keys())
def test_imports_run_downwards(package: str, allowed: tuple[str, ...]) -> None:
    found = list(those_of(package))
    assert [i for i in found if i.is_of("app") and not i.is_of(*allowed)] == []


def test_only_the_pages_and_the_wiring_see_both_tools_and_actions() -> None:
    known: dict[str, set[str]] = {}
    for found in imports(with_types=True):
        for package in ("app.assistant", "app.actions"):
            if found.is_of(package):
                known.setdefault(found.module, set()).add(package)
    both = {module for module, packages in known.items() if len(packages) == 2}
    assert both <= {"app.wiring", "app.transcript"}


def test_nothing_imports_the_tests_and_nobody_but_the_command_the_doubles() -> None:
    assert [i for i in imports(with_types=True) if i.is_of("tests", "bench")] == []
    outside = [i for i in imports() if i.is_of("app.demo") and not i.module.startswith("app.demo")]
    assert {(i.module, i.is_lazy) for i in outside} == {("app.cli", True)}


LIBRARIES = {
    "openai": {"app.services.llm"},
    "httpx2": {"app.services.llm"},
    "requests": {"app.services.http", "app.services.connection", "app.services.failure"},
    "urllib3": {"app.services.http", "app.services.connection", "app.services.failure"},
    "markdown": "app.formatting",
    "pymdownx": "app.formatting",
    "pygments": "app.formatting",
    "nh3": "app.formatting",
    "yaml": "app.formatting",
    "gunicorn": {"app.server"},
    "click": {"app.cli"},
    "dotenv": {"app.settings"},
    "subprocess": {
        "app.cli",
        "app.demo.sample",
        "app.render_pool",
        "app.services.git_ignore",
        "app.services.search",
    },
    "socket": {
        "app.demo.wire",
        "app.server",
        "app.services.connection",
        "app.services.llm",
        "app.services.readiness",
        "app.settings",
        "app.sse",
    },
    "pickle": set(),
    "marshal": set(),
    "shelve": set(),
    "http.client": set(),
    "urllib.request": set(),
}


@pytest.mark.parametrize(("library", "places"), LIBRARIES.items(), ids=LIBRARIES.keys())
def test_a_library_is_known_in_its_place_only(library: str, places: set[str] | str) -> None:
    users = {i.module for i in imports() if i.is_of(library)}
    if isinstance(places, str):
        assert {user for user in users if not user.startswith(f"{places}.")} == set()
    else:
        assert users <= places


def test_the_models_sdk_is_loaded_on_first_use_only() -> None:
    found = [i for i in imports() if i.is_of("openai", "httpx2")]
    assert found
    assert [i for i in found if not i.is_lazy] == []


def calls(tree: ast.Module) -> Iterator[str]:
    """The names of what a module calls: `f` for `f(…)` and for `a.f(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


def users_of(*names: str) -> set[str]:
    return {module for module, tree in trees().items() if set(calls(tree)) & set(names)}


def test_only_the_renderer_makes_markup() -> None:
    assert users_of("Markup") == {"app.rendering"}


def test_nothing_runs_text_as_code() -> None:
    assert users_of("eval", "exec", "__import__", "system", "popen") == set()


def test_no_command_goes_through_a_shell() -> None:
    for module, tree in trees().items():
        words = [k.arg for k in ast.walk(tree) if isinstance(k, ast.keyword)]
        assert "shell" not in words, module


def test_only_the_start_reads_the_environment() -> None:
    readers = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert readers == {"app.settings", "app.cli", "app.server", "app.render_pool"}


# What loading costs


def loaded(code: str, *, among: tuple[str, ...]) -> list[str]:
    """Which of these libraries a fresh process has loaded after `code`."""
    tail = f"import sys, json; print(json.dumps([n for n in {among!r} if n in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return list(json.loads(done.stdout))


HEAVY = ("flask", "openai", "httpx2", "markdown", "pygments", "nh3", "requests", "gunicorn", "yaml")
RENDERING = ("openai", "httpx2", "markdown", "pygments", "nh3", "yaml", "pymdownx", "app.demo")


@pytest.mark.parametrize("module", ["app", "app.rendering", "app.settings", "app.cli"])
def test_a_light_module_stays_light(module: str) -> None:
    assert loaded(f"import {module}", among=HEAVY) == []


def test_the_rendering_process_knows_neither_the_web_nor_a_client() -> None:
    among = (*WEB, "openai", "httpx2", "requests", "app.settings", "app.services", "app.wiring")
    assert loaded("import app.render_worker", among=among) == []


def test_the_doubles_load_nothing_of_the_app() -> None:
    code = (
        "import app.demo.model, app.demo.forgejo, app.demo.woodpecker, app.demo.wire, sys\n"
        "own = [m for m in sys.modules if m.startswith('app.') and not m.startswith('app.demo')]\n"
        "assert own == [], own"
    )
    assert loaded(code, among=("flask", "openai")) == []


def test_starting_the_app_loads_neither_the_models_sdk_nor_what_formats_pages(
    tmp_path: Path,
) -> None:
    code = (
        "from pathlib import Path\n"
        "from app import create_app\n"
        "from app.settings import LLMSettings, Secret, Settings\n"
        f"root = Path({str(tmp_path)!r})\n"
        "llm = LLMSettings(Secret('k'))\n"
        "app = create_app(Settings(root=root, state_dir=root / '.lectern', llm=llm))\n"
        "headers = {'Host': 'localhost'}\n"
        "assert app.test_client().get('/healthz', headers=headers).status_code == 200"
    )
    assert loaded(code, among=RENDERING) == []
