"""Talking: a question starts a turn, the answer is streamed, and conversations are looked after."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.helpers import stream_with_context
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app import sse
from app.addresses import adding, local
from app.assistant.turn import Question
from app.blueprints import panel
from app.errors import Refused, is_navigation
from app.services.errors import Busy, ConversationNotFound, NotConfigured, TurnNotFound
from app.services.history import Conversation
from app.services.live import Event, conversation_of
from app.shell import Page
from app.wiring import services

bp = Blueprint("chat", __name__)

MAX_MESSAGE_CHARS = 32_768
MAX_PATH_CHARS = 4_096
PAGE_KINDS = (
    *("doc", "folder", "file", "task", "board", "search", "status", "history"),
    *("card", "error"),
)


@bp.post("/actions/chat")
def start() -> ResponseReturnValue:
    """Start a turn and stream it; without script, come back to the page and find it there."""
    question = _question(_fields())
    if services().llm is None:
        raise NotConfigured("llm", "The assistant is off. Set OPENAI_API_KEY and start again.")
    if is_navigation():
        turn = services().assistant.start(question)
        return redirect(_back(conversation_of(turn)), 303)
    release = _take_stream()
    try:
        turn = services().assistant.start(question)
        return _stream(turn, 0, release)
    except BaseException:
        release()
        raise


@bp.get("/chat/turns/<turn>/events")
def events(turn: str) -> ResponseReturnValue:
    """A turn's events behind a position, from whichever process writes them."""
    after = _position()
    release = _take_stream()
    try:
        _own_turn(turn)
        return _stream(turn, after, release)
    except BaseException:
        release()
        raise


@bp.post("/chat/turns/<turn>/stop")
def stop(turn: str) -> ResponseReturnValue:
    conversation = _own_turn(turn)
    services().live.stop(turn)
    if is_navigation():
        return redirect(_back(conversation.id), 303)
    return "", 204


@bp.get("/chat/panel", endpoint="panel")
def show_panel() -> ResponseReturnValue:
    """The drawer's content for a page, as a fragment."""
    page = _page(request.args)
    built = panel.build(page, named=request.args.get("conversation", ""))
    return render_template("_panel.html", panel=built, page=page)


@bp.post("/chat/new")
def new() -> ResponseReturnValue:
    page = _page(_fields())
    made = services().index.create(current_user.id, doc=page.doc, page_kind=page.kind)
    if is_navigation():
        return redirect(_back(made.id), 303)
    return jsonify({"conversation": made.id}), 201


@bp.get("/chat/history")
def history() -> ResponseReturnValue:
    keys = ("id", "created_at", "preview", "message_count", "doc")
    summaries = services().index.conversations(current_user.id)
    listed = [{key: getattr(summary, key) for key in keys} for summary in summaries]
    return jsonify({"conversations": listed})


@bp.get("/chat/history/<conversation>")
def records(conversation: str) -> ResponseReturnValue:
    own = _own(conversation)
    services().assistant.settle(own)
    return jsonify({"conversation": own.id, "records": list(own.records())})


@bp.delete("/chat/history/<conversation>")
def hide(conversation: str) -> ResponseReturnValue:
    """Out of the user's sight; the record stays until retention removes it."""
    _own(conversation).append("hidden", turn="", durable=True)
    return "", 204


def _own(conversation: str) -> Conversation:
    user = current_user.id
    own = services().history.conversation(user, conversation)
    if services().index.is_hidden(user, conversation):
        raise ConversationNotFound
    return own


def _own_turn(turn: str) -> Conversation:
    own = _own(conversation_of(turn))
    if not services().live.events(turn) and not own.turn(turn):
        raise TurnNotFound
    return own


def _fields() -> Mapping[str, Any]:
    if request.mimetype == "application/json":
        body = request.get_json()
        if not isinstance(body, dict):
            raise Refused(400, "malformed", "Send one JSON object.")
        return body
    if request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return request.form.to_dict()
    if not request.content_length:
        return {}
    raise Refused(415, "unsupported_type", "Send a form or JSON.")


def _question(fields: Mapping[str, Any]) -> Question:
    message = fields.get("message")
    if not isinstance(message, str) or not message.strip():
        problem = {"message": "The question is missing."}
        raise Refused(400, "malformed", "Write a question first.", fields=problem)
    message = message.replace("\r\n", "\n")
    if len(message) > MAX_MESSAGE_CHARS:
        problem = {"message": f"At most {MAX_MESSAGE_CHARS:,} characters."}
        text = f"The question is {len(message):,} characters long; {MAX_MESSAGE_CHARS:,} fit."
        raise Refused(413, "too_long", text, fields=problem)
    conversation = fields.get("conversation") or None
    if conversation is not None and not isinstance(conversation, str):
        raise Refused(400, "malformed", "A conversation is named by its id.")
    page = _page(fields)
    return Question(current_user.id, message, page.kind, page.doc, conversation)


def _page(fields: Mapping[str, Any]) -> Page:
    kind, doc = fields.get("page_kind") or "doc", fields.get("doc") or None
    if kind not in PAGE_KINDS:
        problem = {"page_kind": f"One of {', '.join(PAGE_KINDS)}."}
        raise Refused(400, "malformed", "There is no such kind of page.", fields=problem)
    if doc is not None and not (isinstance(doc, str) and len(doc) <= MAX_PATH_CHARS):
        raise Refused(
            400, "malformed", "A page is named by its path.", fields={"doc": "Not a path."}
        )
    return Page(kind, doc, doc or f"this {kind} page")


def _position() -> int:
    text = request.args.get("after") or request.headers.get("Last-Event-ID") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused(400, "malformed", "A position is the whole number of an event.")
    return int(text)


def _back(conversation: str) -> str:
    """The page that a form without script came from, with the drawer open."""
    address = local(str(_fields().get("return_to", "")), default=url_for("docs.index"))
    return adding(address, "ask", conversation) + "#lectern-drawer"


def _take_stream() -> Callable[[], None]:
    """A place among the open streams; what is returned gives it back, once."""
    places = services().streams
    if not places.acquire(blocking=False):
        raise Busy("Too many answers are being watched at once.", retry_after_s=2)
    is_held = [True]

    def release() -> None:
        if is_held and is_held.pop():
            places.release()

    return release


def _stream(turn: str, after: int, release: Callable[[], None]) -> Response:
    batches = services().assistant.events(current_user.id, turn, after=after)
    is_gone = sse.watcher(request.environ.get("gunicorn.socket"))
    body = stream_with_context(sse.frames(batches, _drawn, is_gone=is_gone))
    return sse.stream(cast("Generator[bytes, None, None]", body), release)


def _drawn(event: Event) -> dict[str, Any]:
    """An event's data; what is shown as HTML is drawn here, from the record."""
    if event.name == "message":
        return {"html": _message(event)}
    if event.name == "proposal":
        proposal = services().proposals.find(current_user.id, event.data["proposal"])
        card = services().transcript.card(proposal)
        return {**event.data, "html": render_template("_card.html", card=card)}
    return event.data


def _message(event: Event) -> str:
    turn = str(event.data["turn"])
    own = services().history.conversation(current_user.id, conversation_of(turn))
    answer = services().transcript.answer(own.turn(turn))
    return render_template("_message.html", turn={"answer": answer})
