"""The sample repository is whole, and the demo's simulations start and end with their parent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import requests
import yaml

from app.demo import sample
from app.demo.sample import copy_sample

SOURCE = sample.SOURCE.resolve()
PAGES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.md"))
FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((<[^>]+>|[^)\s]+)\)")
STATUSES = {"draft", "ready", "in_progress", "blocked", "review", "completed", "dropped"}
PRIORITIES = {"p0", "p1", "p2", "p3"}


def prose(page: str) -> str:
    return CODE.sub("code", FENCED.sub("", (SOURCE / page).read_text("utf-8")))


def anchors(page: str) -> set[str]:
    """Ids of the headings, made as GitHub makes them."""
    text = FENCED.sub("", (SOURCE / page).read_text("utf-8"))
    titles = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return {slug(title) for title in titles}


def slug(title: str) -> str:
    kept = [c for c in title.lower() if c in "- _" or unicodedata.category(c)[0] in "LN"]
    return "".join(kept).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    targets = [target.strip("<>") for target in LINK.findall(prose(page))]
    for target in targets:
        if target.startswith(("http://", "https://")):
            continue
        path, _, fragment = unquote(target).partition("#")
        found = (SOURCE / page).parent / path if path else SOURCE / page
        assert found.resolve().is_relative_to(SOURCE)
        assert found.exists(), target
        if fragment:
            assert fragment in anchors(found.resolve().relative_to(SOURCE).as_posix()), target


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_one_title_and_footnotes_that_meet(page: str) -> None:
    text = prose(page)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    uses = re.findall(r"\[\^(\w+)\](?!:)", text)
    notes = re.findall(r"^\[\^(\w+)\]:", text, re.MULTILINE)
    assert sorted(uses) == sorted(notes)


def test_the_tasks_are_in_the_native_format_and_of_many_states() -> None:
    heads = []
    for path in sorted((SOURCE / "tasks").glob("*.md")):
        _, head, body = path.read_text("utf-8").split("---\n", 2)
        heads.append(yaml.safe_load(head))
        assert path.name.startswith(heads[-1]["id"])
        assert f"# {heads[-1]['title']}\n" in body
        assert "\n## Problem\n" in body
    assert len(heads) == 6
    assert {head["status"] for head in heads} < STATUSES
    assert len({head["status"] for head in heads}) == 6
    assert {head["priority"] for head in heads} <= PRIORITIES
    assert all("completed_by" in head for head in heads if head["status"] == "completed")


def test_it_shows_off_what_a_reader_can_do() -> None:
    everything = "\n".join((SOURCE / page).read_text("utf-8") for page in PAGES)
    for wanted in ("> [!NOTE]", "- [x]", "```python", "```mermaid", "[^", "![", "%20", "\n### "):
        assert wanted in everything


def test_its_image_is_well_formed_and_without_script() -> None:
    root = ElementTree.parse(SOURCE / "docs/images/flow.svg").getroot()
    names = {element.tag.rsplit("}", 1)[-1] for element in root.iter()}
    assert names <= {"svg", "title", "g", "path", "rect", "text"}


def git(root: Path, *arguments: str) -> str:
    environment = {"PATH": os.defpath, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True)
    return done.stdout.decode()


def test_every_copy_has_the_same_history(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    copy_sample(one)
    copy_sample(two)
    assert git(one, "rev-parse", "HEAD") == git(two, "rev-parse", "HEAD")
    assert git(one, "status", "--porcelain") == ""
    authors = set(git(one, "log", "--format=%an").split("\n")) - {""}
    assert authors == {"Ines Calder", "Tomas Brae", "Wren Okafor"}
    listed = git(one, "-c", "core.quotePath=off", "ls-files").splitlines()
    here = [
        path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert len(listed) == len(here)


def test_the_history_is_the_same_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_sample(tmp_path / "plain")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[user]\nname = Somebody\n[core]\nhooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    copy_sample(tmp_path / "odd")
    monkeypatch.delenv("GIT_DIR")
    assert git(tmp_path / "odd", "rev-parse", "HEAD") == git(
        tmp_path / "plain", "rev-parse", "HEAD"
    )


def test_the_simulations_say_where_they_are_and_end_with_standard_input() -> None:
    command = [sys.executable, "-m", "app.demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        with requests.Session() as http:
            http.trust_env = False
            repository = f"{line['forge_owner']}/{line['forge_repo']}"
            headers = {"Authorization": f"token {line['forge_token']}"}
            labels = f"{line['forge_url']}/api/v1/repos/{repository}/labels"
            issues = f"{line['forge_url']}/api/v1/repos/{repository}/issues?state=all"
            assert "bug" in [each["name"] for each in http.get(labels, headers=headers).json()]
            assert len(http.get(issues, headers=headers).json()) == 3
            headers = {"Authorization": f"Bearer {line['ci_token']}"}
            active = http.get(f"{line['ci_url']}/api/repos/lookup/{repository}", headers=headers)
            assert active.json()["active"] is True
            headers = {"Authorization": f"Bearer {line['llm_key']}"}
            assert http.get(f"{line['llm_url']}/models", headers=headers).status_code == 200
            assert http.get(f"{line['llm_url']}/models").status_code == 401
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(timeout=10) == 0
