"""`python -m app.demo`: the simulated Forgejo, Woodpecker and model on loopback, for one demo.

Prints one line of JSON with their addresses and tokens, and ends when standard input closes, so
that it never outlives whoever started it.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Literal

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.wire import serve
from app.demo.woodpecker import Woodpecker

OWNER, REPOSITORY = "skerry-trust", "lighthouse"
FULL_NAME = f"{OWNER}/{REPOSITORY}"
BOT = "lectern-bot"
PIPELINE_STEP_S = 4.0
# Title, body, author, labels, state, date.
Seed = tuple[str, str, str, tuple[str, ...], Literal["open", "closed"], datetime]
LABELS = (
    ("bug", "d73a4a"),
    ("documentation", "0075ca"),
    ("enhancement", "2f9e6e"),
    ("good first task", "7057ff"),
    ("hardware", "8a6d3b"),
)
ISSUES: tuple[Seed, ...] = (
    (
        "The fog signal is not mentioned where the battery is",
        "`battery-low` says what the station does at 11.4 V, and the page about the fog detector\n"
        "does not. I looked for it there first.",
        "tomas",
        ("documentation",),
        "open",
        datetime(2026, 11, 7, 18, 30, tzinfo=UTC),
    ),
    (
        "Outer Stack is grey for four minutes out of five",
        "Since the board greys a light after one missed heartbeat, the satellite station is grey\n"
        "most of the time. It only sends every five minutes.",
        "tomas",
        ("bug",),
        "closed",
        datetime(2026, 10, 27, 6, 55, tzinfo=UTC),
    ),
    (
        "Say who has the watch in larger letters",
        "From the other side of the room, with a cup in each hand.",
        "wren",
        ("enhancement", "good first task"),
        "open",
        datetime(2026, 11, 12, 7, 2, tzinfo=UTC),
    ),
)


def main() -> int:
    options = _parser().parse_args()
    forge_token, ci_token, key = (secrets.token_hex(20) for _ in range(3))
    model = Model(api_key=key, pace_s=1 / options.chunks_per_second)
    with ExitStack() as stack:
        forge = stack.enter_context(serve(seeded_forgejo(forge_token)))
        ci = stack.enter_context(serve(seeded_woodpecker(ci_token)))
        llm = stack.enter_context(serve(model))
        line = {
            "forge_url": forge.url,
            "forge_token": forge_token,
            "forge_owner": OWNER,
            "forge_repo": REPOSITORY,
            "ci_url": ci.url,
            "ci_token": ci_token,
            "llm_url": f"{llm.url}/v1",
            "llm_key": key,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            sys.stdin.buffer.read()
    return 0


def seeded_forgejo(token: str) -> Forgejo:
    """With the sample's repository, its people, a few issues and the service account."""
    forgejo = Forgejo()
    for login in ("ines", "tomas", "wren"):
        forgejo.add_user(login)
    forgejo.add_repository(
        FULL_NAME,
        labels=LABELS,
        organisation=True,
        organisation_labels=[("night watch", "1d3557")],
    )
    forgejo.add_token(token, BOT, scopes=["read:repository", "write:issue", "read:organization"])
    for title, body, author, labels, state, at in ISSUES:
        forgejo.add_issue(
            FULL_NAME, title=title, body=body, author=author, labels=labels, state=state, at=at
        )
    return forgejo


def seeded_woodpecker(token: str) -> Woodpecker:
    woodpecker = Woodpecker(step_s=PIPELINE_STEP_S)
    woodpecker.add_token(token, BOT)
    woodpecker.add_repository(FULL_NAME)
    return woodpecker


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.demo", description=__doc__)
    parser.add_argument("--chunks-per-second", type=float, default=35.0, metavar="N")
    return parser


if __name__ == "__main__":
    sys.exit(main())
