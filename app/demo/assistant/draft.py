"""Drafts an issue out of a question and what was found, as the marker that becomes a card. Knows
nothing of conversations or of Forgejo."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from app.demo.assistant import quotation
from app.demo.assistant.term import terms

MAX_TITLE = 80
ASKED = re.compile(
    r"\b(issues?|bugs?|tickets?|report|track|propose|file (a|an|this|that|it))\b", re.IGNORECASE
)
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
# "Please open an issue about …": what is left is what the issue is about.
OPENING = re.compile(
    r"""^(?:(?:please|can|could|would|will|you|let's|i|we|want|need|should|to|help|me|us|now|then
      |and|so|ok|okay)[\s,]+)*
    (?:(?:create|open|file|write|make|draft|propose|report|raise|add|track)\s+)
    (?:(?:a|an|the|this|that|it|new|us|me)\s+)*
    (?:(?:issue|bug|ticket|report)s?\b[\s,:]*)?
    (?:(?:about|for|on|that|saying|because|to|with|titled|as|called|proposing|describing
      |report(?:ing)?)\b[\s,:]*)?""",
    re.IGNORECASE | re.VERBOSE,
)
LABELS = {
    "bug": re.compile(
        r"\b(bugs?|broken|breaks?|wrong|errors?|fail(s|ed|ing|ure)?|crash(es|ed)?|incorrect)\b",
        re.IGNORECASE,
    ),
    "documentation": re.compile(
        r"\b(docs?|documentation|document(ed)?|readme|typos?|unclear|outdated|wording|explain(s|ed)?"
        r"|describe[sd]?)\b",
        re.IGNORECASE,
    ),
    "enhancement": re.compile(
        r"\b(add|improve|improvement|feature|support|wish|should|faster|easier|propose|idea)\b",
        re.IGNORECASE,
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in the repository and what stands there, in one line."""

    path: str
    line: int
    text: str


def is_asked_for(question: str) -> bool:
    return ASKED.search(question) is not None


def subject(question: str) -> str:
    """What the issue is about, without the words that ask for it; empty for "file an issue"."""
    sentences = SENTENCE_END.split(question.strip())
    asking = [OPENING.sub("", each, count=1) for each in sentences if is_asked_for(each)]
    others = [each for each in sentences if not is_asked_for(each)]
    stripped = (each.strip(" .?!:,\n") for each in asking + others)
    return next((each for each in stripped if telling(each)), "")


def telling(text: str) -> list[str]:
    """The terms of a text that are not just the asking for an issue."""
    return [term for term in terms(text) if not ASKED.fullmatch(term)]


def marker(
    about: str, *, page: str | None, title: str, quotes: list[str], findings: list[Finding]
) -> str:
    """The marker on a line of its own. `about` is the subject, `title` the page's."""
    payload = {
        "title": _title(about, title),
        "body": _body(about, page, quotes, findings),
        "labels": labels(about, page),
    }
    # A tag inside the JSON would begin or end a marker.
    text = json.dumps(payload, ensure_ascii=False).replace("<", "\\u003c")
    return f'<action type="issue-create">{text}</action>'


def labels(about: str, page: str | None) -> list[str]:
    """By the words used; where none speaks, a page of the docs is about documentation."""
    found = [name for name, words in LABELS.items() if words.search(about)]
    return found or (["documentation"] if (page or "").endswith(".md") else ["enhancement"])


def _title(about: str, page_title: str) -> str:
    text = quotation.plain(about.split("\n", 1)[0]) or f"Follow up on {quotation.plain(page_title)}"
    return quotation.clip(text[:1].upper() + text[1:], MAX_TITLE)


def _body(about: str, page: str | None, quotes: list[str], findings: list[Finding]) -> str:
    parts = [_sentence(about)]
    if page:
        parts.append(f"This came up while reading `{page}`.")
    if quotes:
        parts += ["## What it says today", *quotes]
    if findings:
        places = [f"- `{each.path}:{each.line}`: {each.text}" for each in findings]
        parts += ["## Where else it is mentioned", "\n".join(places)]
    parts += ["## Done when", "\n".join(f"- [ ] {each}" for each in _steps(page))]
    return "\n\n".join(part for part in parts if part)


def _sentence(about: str) -> str:
    text = quotation.plain(about)
    end = "" if text.endswith((".", "?", "!")) else "."
    return f"{text[:1].upper()}{text[1:]}{end}" if text else ""


def _steps(page: str | None) -> list[str]:
    updated = f"`{page}` says so" if page else "The documentation says so"
    return ["What should happen is agreed on", updated, "A test or a check holds it"]
