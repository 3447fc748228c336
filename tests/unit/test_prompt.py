"""What the model is told: the page as it is now, and the conversation so far."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.assistant.prompt import (
    MAX_PAGE_BYTES,
    MAX_REPLAY_CHARS,
    SYSTEM,
    PageContext,
    calling,
    messages,
    page_context,
    result,
    texts_read,
)
from app.services.errors import PathNotFound
from app.services.history import Record
from app.services.workspace import Workspace

PAGE = PageContext("doc", "a.md", "[Page: a.md]\ntext", "0" * 64)
CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}


@pytest.fixture
def workspace(repository: Path) -> Workspace:
    return Workspace(repository)


def asked(turn: str, text: str, **more: object) -> Record:
    return {"role": "user", "turn": turn, "content": text, **more}


def answered(turn: str, text: str, **more: object) -> Record:
    return {"role": "assistant", "turn": turn, "content": text, **more}


def used(turn: str, call: dict[str, Any], content: str, *, number: int, at: int) -> Record:
    return {
        "role": "tool",
        "turn": turn,
        "call": call,
        "content": content,
        "round": number,
        "at": at,
    }


def told(records: list[Record], *, page: PageContext = PAGE, question: str = "Now?") -> Any:
    return messages("INSTRUCTIONS", records, page, question)


# The page


def test_the_page_is_given_with_its_name_and_the_hash_of_its_bytes(workspace: Workspace) -> None:
    context = page_context(workspace, kind="doc", doc="docs/setup.md")
    assert context.text.startswith("[Page: docs/setup.md]\n")
    assert "It retries twice." in context.text
    file = workspace.read("docs/setup.md", limit=1000)
    assert context.record() == {"kind": "doc", "doc": "docs/setup.md", "sha256": file.sha256}


def test_a_page_that_shows_no_file_is_named_by_its_kind(workspace: Workspace) -> None:
    context = page_context(workspace, kind="history", doc=None)
    assert "history page" in context.text
    assert context.record() == {"kind": "history", "doc": None, "sha256": None}


def test_a_long_page_is_cut_and_the_cut_is_said(workspace: Workspace) -> None:
    (workspace.root / "long.md").write_text("x" * (MAX_PAGE_BYTES + 1))
    text = page_context(workspace, kind="doc", doc="long.md").text
    assert f"[Cut here at {MAX_PAGE_BYTES:,} of {MAX_PAGE_BYTES + 1:,} bytes." in text
    assert text.count("x") < MAX_PAGE_BYTES + 100


def test_a_page_cut_within_a_letter_is_still_text(workspace: Workspace) -> None:
    (workspace.root / "long.md").write_text("é" * MAX_PAGE_BYTES)
    text = page_context(workspace, kind="doc", doc="long.md").text
    assert "é" * 100 in text
    assert text.encode()


@pytest.mark.parametrize("doc", ["docs/dot.png", "docs/data.bin.txt"])
def test_a_page_that_is_not_text_is_not_passed_on(workspace: Workspace, doc: str) -> None:
    assert "(This file is not text.)" in page_context(workspace, kind="file", doc=doc).text


def test_the_text_of_a_file_that_git_ignores_is_not_passed_on(workspace: Workspace) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=workspace.root, check=True)
    (workspace.root / ".gitignore").write_text("private.md\n")
    (workspace.root / "private.md").write_text("canary")
    text = page_context(workspace, kind="doc", doc="private.md").text
    assert "Git ignores this file" in text
    assert "canary" not in text


@pytest.mark.parametrize("doc", ["nothing.md", ".env", "../x", "/etc/passwd", "docs", "a\nb"])
def test_a_page_that_is_refused_is_not_found(workspace: Workspace, doc: str) -> None:
    with pytest.raises(PathNotFound):
        page_context(workspace, kind="doc", doc=doc)


# The messages


def test_a_first_question_comes_behind_the_rules_and_the_page() -> None:
    sent, new = told([])
    assert sent == [
        {"role": "system", "content": f"{SYSTEM}\nINSTRUCTIONS"},
        {"role": "user", "content": PAGE.text},
        {"role": "user", "content": "Now?"},
    ]
    assert new == PAGE.text


def test_a_page_the_model_has_is_not_sent_again() -> None:
    records = [asked("1", "First?", context=PAGE.text), answered("1", "One.")]
    sent, new = told(records)
    assert new is None
    assert [m["content"] for m in sent[1:]] == [PAGE.text, "First?", "One.", "Now?"]


def test_a_page_that_changed_is_sent_where_it_changed() -> None:
    records = [asked("1", "First?", context="old"), answered("1", "One.")]
    sent, new = told(records)
    assert new == PAGE.text
    assert [m["content"] for m in sent[1:]] == ["old", "First?", "One.", PAGE.text, "Now?"]


def test_a_page_that_changed_back_is_sent_again() -> None:
    records = [
        asked("1", "First?", context=PAGE.text),
        answered("1", "One."),
        asked("2", "Second?", context="new"),
        answered("2", "Two."),
    ]
    assert told(records)[1] == PAGE.text


def test_calls_are_replayed_between_the_texts_around_them() -> None:
    other = {**CALL, "id": "c2"}
    records = [
        asked("1", "Where?"),
        used("1", CALL, "first result", number=0, at=12),
        used("1", other, "second result", number=1, at=12),
        answered("1", "Let me look.\n\nHere it is."),
    ]
    sent, _ = told(records)
    assert sent[1:-2] == [
        {"role": "user", "content": "Where?"},
        calling("Let me look.", [CALL]),
        result("c1", "first result"),
        calling("", [other]),
        result("c2", "second result"),
        {"role": "assistant", "content": "Here it is."},
    ]


def test_calls_of_one_round_are_one_message() -> None:
    other = {**CALL, "id": "c2"}
    records = [
        asked("1", "Where?"),
        used("1", CALL, "a", number=0, at=0),
        used("1", other, "b", number=0, at=0),
        answered("1", "There."),
    ]
    sent, _ = told(records)
    assert sent[2] == calling("", [CALL, other])
    assert [m["role"] for m in sent[3:5]] == ["tool", "tool"]


@pytest.mark.parametrize("rest", [[], [answered("1", "")]], ids=["died", "empty"])
def test_a_turn_without_an_answer_still_takes_turns(rest: list[Record]) -> None:
    sent, _ = told([asked("1", "First?"), *rest])
    assert sent[2] == {"role": "assistant", "content": "(The answer was broken off.)"}


def test_a_turn_that_died_behind_a_call_answers_the_call() -> None:
    sent, _ = told([asked("1", "Where?"), used("1", CALL, "a", number=0, at=0)])
    assert [m["role"] for m in sent[1:-2]] == ["user", "assistant", "tool", "assistant"]


def test_turns_that_were_written_at_once_are_kept_apart() -> None:
    records = [asked("1", "A?"), asked("2", "B?"), answered("2", "Two."), answered("1", "One.")]
    sent, _ = told(records)
    assert [m["content"] for m in sent[1:5]] == ["A?", "One.", "B?", "Two."]


def test_actions_and_unknown_records_are_not_replayed() -> None:
    records: list[Record] = [
        asked("1", "A?"),
        answered("1", "One."),
        {"role": "action", "turn": "1", "content": "canary"},
        {"role": "hidden", "turn": ""},
        {"role": "from a later version", "turn": "1", "content": "canary"},
        {"role": "tool", "turn": "unknown", "content": "canary"},
    ]
    sent, _ = told(records)
    assert "canary" not in json.dumps(sent)
    assert len(sent) == 5


def test_a_record_whose_content_is_no_text_does_no_harm() -> None:
    records: list[Record] = [asked("1", None), {"role": "assistant", "turn": "1", "content": 7}]  # type: ignore[arg-type]
    sent, _ = told(records)
    assert all(isinstance(message["content"], str) for message in sent)


def test_a_later_request_begins_with_the_bytes_of_an_earlier_one() -> None:
    records: list[Record] = []
    earlier, new = told(records, question="First?")
    records += [asked("1", "First?", context=new), answered("1", "One.")]
    later, _ = told(records, question="Second?")
    assert json.dumps(later).startswith(json.dumps(earlier)[:-1])


def test_a_long_conversation_keeps_its_newest_turns_and_says_so() -> None:
    size = MAX_REPLAY_CHARS // 4
    records: list[Record] = []
    for number in range(8):
        turn = str(number)
        records += [asked(turn, f"Q{number}"), answered(turn, f"A{number}" + "x" * size)]
    sent, _ = told(records)
    questions = [m["content"] for m in sent if str(m["content"]).startswith("Q")]
    assert questions == ["Q5", "Q6", "Q7"]
    assert "left out here" in sent[1]["content"]
    assert sum(len(str(message)) for message in sent) < MAX_REPLAY_CHARS * 1.1


def test_the_newest_turn_is_kept_whatever_its_size() -> None:
    records = [asked("1", "Q"), answered("1", "x" * (MAX_REPLAY_CHARS + 1))]
    sent, _ = told(records)
    assert sent[1]["content"] == "Q"


def test_what_was_read_is_what_others_wrote() -> None:
    request = [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "page"},
        {"role": "assistant", "content": "mine"},
        {"role": "tool", "content": "file"},
        {"role": "user", "content": "question"},
    ]
    assert texts_read(request) == ["page", "file", "question"]
