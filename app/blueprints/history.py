"""The record: conversations as a list, and one of them whole, with its tool calls and actions."""

from __future__ import annotations

from itertools import chain

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.blueprints.screen import show
from app.services.errors import ConversationNotFound
from app.services.history import Conversation, Record
from app.shell import Page
from app.wiring import services

bp = Blueprint("history", __name__)

MAX_SHOWN_BYTES = 4_000_000


@bp.get("/history")
def index() -> ResponseReturnValue:
    user = current_user.id
    listed = [
        {
            "id": summary.id,
            "preview": summary.preview,
            "created_at": summary.created_at,
            "message_count": summary.message_count,
            "doc": summary.doc,
            "user": user,
            "url": url_for("history.show", user=user, conversation=summary.id),
        }
        for summary in services().index.conversations(user)
        if summary.message_count or summary.size
    ]
    return show("history/index.html", Page("history", None, "History"), conversations=listed)


@bp.get("/history/<user>/<conversation>", endpoint="show")
def show_conversation(user: str, conversation: str) -> ResponseReturnValue:
    found = _reviewable(user, conversation)
    services().assistant.settle(found)
    tail = found.tail(max_bytes=MAX_SHOWN_BYTES)
    turns = services().transcript.turns(
        tail.records, running=services().live.running(found.id) or ""
    )
    return show(
        "history/show.html",
        Page("history", None, _title(tail.records)),
        conversation=_facts(found, tail.records),
        turns=turns,
        actions=tuple(chain.from_iterable(turn.steps for turn in turns)),
        records_problem="" if tail.is_whole else "Only the newest part is shown.",
    )


def _reviewable(user: str, conversation: str) -> Conversation:
    """One's own, or anybody's for an administrator."""
    if user != current_user.id and not current_user.is_admin:
        raise ConversationNotFound
    return services().history.conversation(user, conversation)


def _title(records: tuple[Record, ...]) -> str:
    first = next((r for r in records if r.get("role") == "user"), {})
    text = " ".join(str(first.get("content", "")).split())
    return (text[:80] + "…" if len(text) > 80 else text) or "Conversation"


def _facts(found: Conversation, records: tuple[Record, ...]) -> dict[str, object]:
    first = next((r for r in records if r.get("role") == "user"), {})
    return {
        "id": found.id,
        "user": found.user,
        "doc": (first.get("page") or {}).get("doc"),
        "created_at": str(records[0].get("ts", "")) if records else "",
    }
