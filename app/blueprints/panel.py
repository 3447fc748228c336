"""The drawer's content as a view model: the conversation about a page, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from flask import request, url_for
from flask_login import current_user

from app.addresses import without
from app.services.errors import ConversationNotFound
from app.services.history_index import Summary
from app.shell import Page
from app.transcript import Turn
from app.wiring import services

MAX_SHOWN_BYTES = 600_000
LOOKED_AT = 8  # newest conversations in which a running turn is looked for


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An answer that is being written about another page."""

    conversation: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    doc: str
    page_kind: str
    page_title: str
    conversation: str = ""
    turns: tuple[Turn, ...] = ()
    running: str = ""
    is_configured: bool = True
    elsewhere: Elsewhere | None = None
    return_to: str = ""
    record_notice: str = ""
    draft: str = ""
    problem: str = ""


def build(page: Page, *, named: str = "") -> Panel:
    """The panel beside `page`, with the conversation that was named or the newest about it.

    Raises ConversationNotFound for a named one that is not this person's.
    """
    user = current_user.id
    summaries = services().index.conversations(user)
    summary = _summary(summaries, page, named)
    own = services().settings
    panel = Panel(
        doc=page.doc or "",
        page_kind=page.kind,
        page_title=page.title,
        is_configured=own.llm is not None,
        elsewhere=_elsewhere(summaries, summary),
        return_to=_return_to(page),
        record_notice="Questions, answers and what is looked at are recorded on this computer.",
    )
    return _with_conversation(panel, summary) if summary else panel


def _summary(summaries: list[Summary], page: Page, named: str) -> Summary | None:
    if named:
        found = next((s for s in summaries if s.id == named), None)
        if found is None:
            raise ConversationNotFound
        return found
    about = (s for s in summaries if s.doc == page.doc and (s.doc or s.page_kind == page.kind))
    return next(about, None)


def _with_conversation(panel: Panel, summary: Summary) -> Panel:
    from dataclasses import replace

    conversation = services().history.conversation(current_user.id, summary.id)
    services().assistant.settle(conversation)
    running = services().live.running(summary.id) or ""
    tail = conversation.tail(max_bytes=MAX_SHOWN_BYTES)
    is_about_page = summary.doc == (panel.doc or None)
    return replace(
        panel,
        conversation=summary.id,
        doc=summary.doc or "",
        page_kind=panel.page_kind if is_about_page else summary.page_kind,
        turns=services().transcript.turns(tail.records, running=running),
        running=running,
    )


def _elsewhere(summaries: list[Summary], shown: Summary | None) -> Elsewhere | None:
    for other in summaries[:LOOKED_AT]:
        if (shown is None or other.id != shown.id) and services().live.running(other.id):
            return Elsewhere(other.id, other.doc or "another page", page_address(other))
    return None


def page_address(summary: Summary) -> str:
    """The page a conversation is about, with the drawer open on it."""
    address = url_for("docs.page", path=summary.doc) if summary.doc else url_for("docs.index")
    return f"{address}?{urlencode({'ask': summary.id})}"


def _return_to(page: Page) -> str:
    """Where a form without script comes back to: the page around the drawer."""
    if request.endpoint != "chat.panel":
        return without(request.full_path, "ask", root=request.script_root)
    if page.kind == "history":
        return url_for("history.index")
    return url_for("docs.page", path=page.doc) if page.doc else url_for("docs.index")
