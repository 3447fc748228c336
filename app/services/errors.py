"""What can go wrong in the outside world and in shared files, said for the person it happens to.

Knows nothing of HTTP answers to browsers: `app/errors.py` turns these into pages and JSON.

    LecternError
    ├── PathNotFound         no such path, or one the policy refuses: they look alike
    ├── ConversationNotFound no such conversation, or somebody else's: they look alike
    ├── TurnNotFound
    ├── TurnRunning          one turn at a time in a conversation
    ├── Busy                 a bound on concurrent work is reached
    ├── StorageFailed        history could not be written
    ├── NotConfigured        a service is off
    └── UpstreamError        Forgejo, Woodpecker or the model's server failed
"""

from __future__ import annotations

import traceback
from typing import Literal

Effect = Literal["none", "unknown"]


def trace_of(error: BaseException) -> str:
    """The type and the place of an error for the log; its own words may quote what was said."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"


class LecternError(Exception):
    """`str(error)` is a sentence that may be shown to the person."""


class PathNotFound(LecternError):
    def __init__(self, path: str) -> None:
        super().__init__("There is no such page or file here.")
        self.path = path


class ConversationNotFound(LecternError):
    def __init__(self) -> None:
        super().__init__("There is no such conversation.")


class TurnNotFound(LecternError):
    def __init__(self) -> None:
        super().__init__("There is no such turn.")


class TurnRunning(LecternError):
    def __init__(self) -> None:
        super().__init__("An answer is still being written here. Wait for it or stop it first.")


class Busy(LecternError):
    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageFailed(LecternError):
    """The record could not be written; nothing was changed."""


class NotConfigured(LecternError):
    def __init__(self, service: str, message: str) -> None:
        super().__init__(message)
        self.service = service


class UpstreamError(LecternError):
    """An upstream did not do what was asked.

    `code` is a stable word (`unreachable`, `timeout`, `unauthorized`, `forbidden`, `not_found`,
    `moved`, `archived`, `invalid`, `rate_limited`, `failed`, `bad_answer`); `status` is what the
    upstream answered, if it answered; `effect` says whether the request can have had one: "none"
    when it was refused or never arrived, "unknown" when it may have been carried out all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str,
        code: str,
        status: int | None = None,
        effect: Effect = "none",
        retryable: bool = False,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.service = service
        self.code = code
        self.status = status
        self.effect: Effect = effect
        self.retryable = retryable
        self.retry_after_s = retry_after_s
