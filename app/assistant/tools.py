"""The tools the model may call: local, bounded, and with no token within reach.

A closed registry. Each tool checks its own arguments; a refusal is a failure the model can read.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from app.services.errors import LecternError, PathNotFound
from app.services.search import search
from app.services.workspace import File, Workspace

MAX_FILE_BYTES = 100_000
MAX_DETAIL_CHARS = 4_000
MAX_READ_BYTES = 4_000_000  # how far into a file line numbers may point

Arguments = dict[str, Any]


class ToolRefusal(LecternError):
    """The call is not carried out; the sentence tells the model what to change."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """`content` is for the model, `summary` for the person; `sources` are the files it shows."""

    ok: bool
    content: str
    summary: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    """What a tool may use: the repository, and the wish to stop."""

    workspace: Workspace
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str  # a JSON type: "string" or "integer"
    description: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: tuple[Parameter, ...]
    run: Callable[[Desk, Arguments], ToolResult]

    def schema(self) -> dict[str, Any]:
        """As Chat Completions wants it; the same bytes for every request."""
        properties = {
            p.name: {"type": p.type, "description": p.description} for p in self.parameters
        }
        parameters = {
            "type": "object",
            "properties": properties,
            "required": [p.name for p in self.parameters if p.is_required],
            "additionalProperties": False,
        }
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


def read_file(desk: Desk, arguments: Arguments) -> ToolResult:
    path = arguments["path"]
    if desk.workspace.is_ignored(path):
        raise PathNotFound(path)
    file = desk.workspace.read(path, limit=MAX_READ_BYTES)
    if file.is_binary:
        raise ToolRefusal(f"{file.path} is not a text file.")
    lines = file.text.splitlines()
    start = max(1, arguments.get("start_line") or 1)
    end = min(len(lines), arguments.get("end_line") or len(lines))
    if start > max(end, 1):
        raise ToolRefusal(f"{file.path} has {len(lines)} lines; there is no line {start}.")
    content = _numbered(lines, start, end)
    is_part = (start, end) != (1, len(lines))
    where = f"{file.path}:{start}–{end}" if is_part else file.path
    return ToolResult(True, content, f"Read {where} · {_size(file)}", (file.path,))


def _numbered(lines: list[str], start: int, end: int) -> str:
    shown, room = [], MAX_FILE_BYTES
    for number in range(start, end + 1):
        line = f"{number:>5}\t{lines[number - 1]}"
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            shown.append(f"[Cut here at {MAX_FILE_BYTES:,} bytes. Ask again from line {number}.]")
            break
        shown.append(line)
    return "\n".join(shown)


def _size(file: File) -> str:
    return f"{file.size:,} bytes" if file.size < 1000 else f"{file.size / 1000:.1f} KB"


def search_files(desk: Desk, arguments: Arguments) -> ToolResult:
    pattern = arguments["pattern"]
    found = search(desk.workspace, pattern, glob=arguments.get("glob"), stop=desk.stop)
    more = "+" if found.truncated else ""
    hits = len(found.hits)
    summary = (
        f"Searched “{pattern[:60]}” · {_count(hits, 'hit', more)} in {_count(found.files, 'file')}"
    )
    lines = [f"{hit.path}:{hit.line}: {hit.text}" for hit in found.hits] or ["Nothing found."]
    if found.truncated:
        lines.append("[There is more. Narrow the pattern or the glob.]")
    return ToolResult(True, "\n".join(lines), summary, ())


def _count(number: int, noun: str, more: str = "") -> str:
    return f"{number:,}{more} {noun}" + ("" if number == 1 and not more else "s")


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        tool.name: tool
        for tool in (
            Tool(
                "read_file",
                "Read a text file of the repository. Lines come numbered; cite them as path:line.",
                (
                    Parameter("path", "string", "Relative to the repository's root.", True),
                    Parameter("start_line", "integer", "First line, from 1."),
                    Parameter("end_line", "integer", "Last line, included."),
                ),
                read_file,
            ),
            Tool(
                "search_files",
                "Search all text files of the repository with a regular expression (ripgrep).",
                (
                    Parameter("pattern", "string", "A regular expression, on one line.", True),
                    Parameter("glob", "string", "Only files like this, e.g. docs/**/*.md."),
                ),
                search_files,
            ),
        )
    }
)


def detail(content: str) -> str:
    """What a person sees of a result when they open its line."""
    return content[:MAX_DETAIL_CHARS] + ("\n…" if len(content) > MAX_DETAIL_CHARS else "")


def call_tool(desk: Desk, name: str, arguments_text: str) -> tuple[Arguments, ToolResult]:
    """Run one call of the model. Every refusal comes back as a result that is not ok."""
    tool = TOOLS.get(name)
    arguments: Arguments = {}
    try:
        if tool is None:
            raise ToolRefusal(f"There is no tool {name[:60]!r}. There are: {', '.join(TOOLS)}.")
        arguments = _parsed(arguments_text)
        _check(tool, arguments)
        return arguments, tool.run(desk, arguments)
    except LecternError as error:
        return arguments, ToolResult(False, f"Refused: {error}", f"{name[:60]}: {error}")


def _parsed(text: str) -> Arguments:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ToolRefusal("The arguments are not valid JSON.") from None
    if not isinstance(value, dict):
        raise ToolRefusal("The arguments must be one JSON object.")
    return value


_TYPES: Mapping[str, type] = MappingProxyType({"string": str, "integer": int})


def _check(tool: Tool, arguments: Arguments) -> None:
    known = {p.name: p for p in tool.parameters}
    for name in arguments:
        if name not in known:
            raise ToolRefusal(f"{tool.name} takes no argument {name[:40]!r}.")
    for parameter in tool.parameters:
        value = arguments.get(parameter.name)
        if value is None:
            if parameter.is_required:
                raise ToolRefusal(f"{tool.name} needs the argument {parameter.name}.")
            arguments.pop(parameter.name, None)
        elif not isinstance(value, _TYPES[parameter.type]) or isinstance(value, bool):
            raise ToolRefusal(f"{parameter.name} must be of type {parameter.type}.")
