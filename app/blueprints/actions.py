"""The click: a proposal is sent, checked or dismissed, and its card drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.actions.proposals import InvalidPayload, Proposal, ProposalState
from app.actions.registry import ACTIONS, Action
from app.blueprints import panel
from app.blueprints.screen import show
from app.errors import Refused, is_navigation, problem_of, wants_fragment
from app.services.errors import LecternError, NotConfigured
from app.shell import Page
from app.transcript import Card
from app.wiring import services

bp = Blueprint("actions", __name__)

OUR_FIELDS = ("proposal", "return_to")


@bp.post("/chat/action/<name>")
def run(name: str) -> ResponseReturnValue:
    """Carry out an action: a card's, as the person edited it, or one given directly."""
    action = ACTIONS.get(name)
    if action is None:
        raise Refused(404, "unknown_action", "There is no such action.")
    fields = dict(_fields(action))
    proposal = fields.pop("proposal", "")
    fields.pop("return_to", None)
    if services().forge is None:
        raise NotConfigured("forge", "Forgejo is off. Set FORGE_URL, FORGE_TOKEN and the rest.")
    if not isinstance(proposal, str):
        raise Refused(400, "malformed", "A proposal is named by its id.")
    if not proposal:
        proposal = _direct(action, fields)
    elif services().proposals.find(current_user.id, proposal).type != name:
        raise Refused(422, "wrong_action", "This card is of another action.")
    return _sent(proposal, fields or None)


@bp.post("/chat/proposals/<proposal>/check")
def check(proposal: str) -> ResponseReturnValue:
    """Look upstream for what an unanswered request has done."""
    try:
        settled = services().proposals.settle(current_user.id, proposal, by=current_user.login)
    except LecternError as error:
        return _not_done(proposal, error, None)
    if settled.state == "unknown":
        message = "There is no trace of it yet. Wait half a minute and check once more."
        return _told(settled, 200, problem=message)
    return _told(settled, 200)


@bp.post("/chat/proposals/<proposal>/dismiss")
def dismiss(proposal: str) -> ResponseReturnValue:
    try:
        done = services().proposals.dismiss(current_user.id, proposal, by=current_user.login)
    except ProposalState as error:
        return _not_done(proposal, error, None)
    return _told(done, 200)


def _direct(action: Action, fields: Mapping[str, object]) -> str:
    checked = services().proposals.check(action, fields)
    if checked.problems:
        raise InvalidPayload(checked.problems)
    return services().proposals.direct(current_user.id, action, checked.payload)


def _sent(proposal: str, fields: Mapping[str, object] | None) -> ResponseReturnValue:
    try:
        done, is_first = services().proposals.send(
            current_user.id, proposal, fields, by=current_user.login
        )
    except LecternError as error:
        return _not_done(proposal, error, fields)
    return _told(done, 201 if is_first else 200)


def _fields(action: Action) -> Mapping[str, object]:
    if request.mimetype == "application/json":
        body = request.get_json()
        if not isinstance(body, dict):
            raise Refused(400, "malformed", "Send one JSON object.")
        return body
    if request.mimetype not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise Refused(415, "unsupported_type", "Send a form or JSON.")
    fields: dict[str, object] = dict(request.form.to_dict())
    if fields.keys() <= set(OUR_FIELDS):
        return fields  # a form of nothing but its proposal: as it was proposed
    for item in action.fields:
        if item.kind == "names":
            fields[item.name] = request.form.getlist(item.name)
    return fields


def _told(proposal: Proposal, status: int, *, problem: str = "") -> ResponseReturnValue:
    """The result in the caller's form: a card, a page with the card, or JSON."""
    card = services().transcript.card(proposal, problem=problem)
    if wants_fragment():
        return render_template("_card.html", card=card), status
    if is_navigation():
        return _alone(proposal, card, status) if problem else redirect(_page_with(proposal), 303)
    return jsonify(_as_json(proposal)), status


def _not_done(
    proposal: str, error: LecternError, fields: Mapping[str, Any] | None
) -> ResponseReturnValue:
    """The card with what went wrong on it; a script gets the error itself."""
    problem = problem_of(error)
    if problem is None or not (wants_fragment() or is_navigation()):
        raise error
    current = services().proposals.find(current_user.id, proposal)
    if is_navigation() and _is_on_card(current, error):
        return redirect(_page_with(current), 303)
    card = services().transcript.card(
        current, values=fields, problems=problem.fields, problem=problem.message
    )
    if wants_fragment():
        return render_template("_card.html", card=card), problem.status
    return _alone(current, card, problem.status)


def _is_on_card(current: Proposal, error: LecternError) -> bool:
    """Whether the card says what happened wherever it is drawn: what is on record it does say."""
    return isinstance(error, ProposalState) or current.problem == str(error)


def _alone(proposal: Proposal, card: Card, status: int) -> ResponseReturnValue:
    """A page of nothing but the card."""
    page = Page("card", None, card.title)
    return show("card.html", page, card=card, return_to=_page_with(proposal)), status


def _page_with(proposal: Proposal) -> str:
    """The page the card's conversation is about, open at the card."""
    conversation = proposal.id.partition("-")[0]
    summaries = services().index.conversations(current_user.id)
    found = next((s for s in summaries if s.id == conversation), None)
    address = panel.page_address(found) if found else url_for("docs.index")
    return f"{address}#lectern-card-{proposal.id}"


def _as_json(proposal: Proposal) -> dict[str, object]:
    response = dict(proposal.response)
    told: dict[str, object] = {
        "status": proposal.state,
        "type": proposal.type,
        "proposal": proposal.id,
        "response": response,
    }
    for key in ("number", "url", "dropped_labels", "message"):
        if key in response:
            told[key] = response[key]
    return told
