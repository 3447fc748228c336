"""The services of one app, built from its settings. Nothing here connects or reads at start."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.actions.issue_create import IssueCreate
from app.actions.proposals import Proposals, Runner
from app.actions.registry import INSTRUCTIONS
from app.assistant.turn import Assistant
from app.rendering import Renderer
from app.services.ci import WoodpeckerClient
from app.services.forge import ForgejoClient
from app.services.history import History, utc_now
from app.services.history_index import HistoryIndex
from app.services.live import LiveTurns
from app.services.llm import ChatModel
from app.services.protocols import CI, Forge
from app.services.readiness import Readiness
from app.services.workspace import Workspace
from app.settings import CISettings, ForgeSettings, Settings
from app.transcript import Transcript

EXTENSION = "lectern"
MAX_STREAMS = 24  # of one process; below gunicorn's threads, so that pages always find one


@dataclass(frozen=True)
class Services:
    """What views may use. An unset service is None."""

    settings: Settings
    workspace: Workspace
    renderer: Renderer
    history: History
    index: HistoryIndex
    live: LiveTurns
    proposals: Proposals
    assistant: Assistant
    transcript: Transcript
    forge: Forge | None
    readiness: Readiness
    llm: ChatModel | None
    streams: threading.BoundedSemaphore


def services() -> Services:
    return cast(Services, current_app.extensions[EXTENSION])


def build(settings: Settings, *, renderer: Renderer | None = None) -> Services:
    state = settings.state_dir
    renderer = renderer or Renderer(url_prefix=settings.url_prefix)
    workspace = Workspace(settings.root, hidden=(state,))
    history = History(state / "history")
    index = HistoryIndex(state / "index", history)
    live = LiveTurns(state / "live", limit=settings.max_concurrent_turns)
    forge = _forge(settings.forge)
    llm = ChatModel(settings.llm) if settings.llm else None
    runners: Mapping[str, Runner] = {"issue-create": IssueCreate(forge)}
    proposals = Proposals(
        state / "proposals",
        history,
        index,
        runners,
        repositories=settings.forge.repositories if settings.forge else (),
        now=utc_now,
    )
    assistant = Assistant(
        llm,
        workspace=workspace,
        history=history,
        index=index,
        live=live,
        propose=proposals.propose,
        instructions=INSTRUCTIONS,
    )
    return Services(
        settings=settings,
        workspace=workspace,
        renderer=renderer,
        history=history,
        index=index,
        live=live,
        proposals=proposals,
        assistant=assistant,
        transcript=Transcript(renderer, proposals),
        forge=forge,
        readiness=Readiness(settings, forge, _ci(settings.ci)),
        llm=llm,
        streams=threading.BoundedSemaphore(MAX_STREAMS),
    )


def _forge(settings: ForgeSettings | None) -> Forge | None:
    if settings is None:
        return None
    return ForgejoClient(
        settings.url, public_url=settings.public_url, token=settings.token.reveal()
    )


def _ci(settings: CISettings | None) -> CI | None:
    if settings is None:
        return None
    return WoodpeckerClient(
        settings.url, public_url=settings.public_url, token=settings.token.reveal()
    )
