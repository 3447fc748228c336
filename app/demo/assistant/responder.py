"""The simulated assistant: looks things up, quotes what it found and, when asked to, drafts an
issue. It has no opinions and understands nothing; the same conversation gives the same answer."""

from __future__ import annotations

import json
from typing import Any

from app.demo.assistant import excerpt
from app.demo.assistant.answer import answer, best_elsewhere
from app.demo.assistant.scene import Scene, named_path, read_scene
from app.demo.assistant.term import WORD
from app.demo.reply import Pause, Reply, ToolCall, paced, words

CHUNKS_PER_S = 35
CHUNK_LENGTH = 6
THINKING_CHUNKS = 12


class Assistant:
    """Answers a Chat Completions request body. `pace_s` is the time between two chunks."""

    def __init__(self, *, pace_s: float = 1 / CHUNKS_PER_S) -> None:
        self._pace_s = pace_s

    def __call__(self, body: dict[str, Any]) -> Reply:
        scene = read_scene(body.get("messages") or [])
        has_tools = bool(body.get("tools")) and body.get("tool_choice") != "none"
        calls = next_calls(scene) if has_tools else []
        pause = (Pause(self._pace_s * THINKING_CHUNKS),) if self._pace_s else ()
        if calls:
            return Reply((*pause, *calls), finish_reason="tool_calls")
        pieces = words(answer(scene), at_least=CHUNK_LENGTH)
        return Reply((*pause, *paced(pieces, self._pace_s)))


def next_calls(scene: Scene) -> list[ToolCall]:
    """First a search (and the file that was named); then, when the page is silent, the best hit."""
    if not scene.lookups:
        return _first_calls(scene)
    best = best_elsewhere(scene)
    if scene.lookup("read_file") or best is None or excerpt.passages(scene.text, scene.terms):
        return []
    return [_call("read_file", {"path": best.path}, 0, "b")]


def _first_calls(scene: Scene) -> list[ToolCall]:
    calls = []
    if telling := _telling(scene):
        calls.append(_call("search_files", {"pattern": "|".join(telling)}, 0, "a"))
    if path := named_path(scene.question):
        calls.append(_call("read_file", {"path": path}, len(calls), "a"))
    return calls


def _telling(scene: Scene) -> list[str]:
    """The one or two words that say most: those that are rare on the page, then the long ones."""
    page = WORD.findall(scene.text.lower())

    def commonness(term: str) -> tuple[int, int]:
        return (sum(word.startswith(term) for word in page) or 3, -len(term))

    return sorted(scene.terms, key=commonness)[:2]


def _call(name: str, arguments: dict[str, Any], index: int, round_name: str) -> ToolCall:
    call_id = f"call_{round_name}{index + 1}"
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False), call_id, index)
