"""The state directory: made private, git-ignoring itself, with the key that signs sessions."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from app.services.storage import make_private, write_private
from app.settings import Settings, SettingsError


def prepare(settings: Settings) -> None:
    """Create the state directory. Raises SettingsError when it cannot be written."""
    state = settings.state_dir
    try:
        make_private(state)
        ignore = state / ".gitignore"
        if state.is_relative_to(settings.root) and not ignore.exists():
            write_private(ignore, b"*\n")
        if not os.access(state, os.W_OK | os.X_OK):
            raise PermissionError
    except OSError as error:
        reason = f"LECTERN_STATE_DIR: {state} cannot be written ({type(error).__name__})."
        raise SettingsError((reason,)) from None


def secret_key(settings: Settings) -> str:
    """The configured key, else one that is made once and shared by all processes."""
    if settings.secret_key:
        return settings.secret_key.reveal()
    path = settings.state_dir / "secret_key"
    if not path.exists():
        _make(path)
    return path.read_text().strip()


def _make(path: Path) -> None:
    """A link succeeds for one process only, so all read the same key, whole."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
