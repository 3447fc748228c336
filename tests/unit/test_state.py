"""The state directory and the key in it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.settings import Secret, Settings, SettingsError
from app.state import prepare, secret_key


def test_it_is_private_and_git_ignores_itself(bare_settings: Settings) -> None:
    prepare(bare_settings)
    secret_key(bare_settings)
    state = bare_settings.state_dir
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}
    assert (state / ".gitignore").read_text() == "*\n"


def test_outside_of_the_root_nothing_is_ignored(bare_settings: Settings, tmp_path: Path) -> None:
    outside = replace(bare_settings, state_dir=tmp_path / "state")
    prepare(outside)
    assert not (tmp_path / "state" / ".gitignore").exists()


def test_the_key_is_made_once_whoever_comes_first(bare_settings: Settings) -> None:
    prepare(bare_settings)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: secret_key(bare_settings), range(32)))
    assert len(keys) == 1
    assert len(keys.pop()) >= 32


def test_a_configured_key_is_used_and_not_kept(bare_settings: Settings) -> None:
    settings = replace(bare_settings, secret_key=Secret("k" * 32))
    prepare(settings)
    assert secret_key(settings) == "k" * 32
    assert not (settings.state_dir / "secret_key").exists()


def test_a_directory_that_cannot_be_made_is_a_problem_of_its_setting(
    bare_settings: Settings,
) -> None:
    settings = replace(bare_settings, state_dir=Path("/dev/null/state"))
    with pytest.raises(SettingsError, match="LECTERN_STATE_DIR"):
        prepare(settings)
