"""Fixtures: a small repository, the doubles on loopback, the app, and someone who uses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from flask import Flask

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.wire import serve
from app.settings import ForgeSettings, LLMSettings, Secret, Settings
from tests.support import FILES, KEY, PNG, TOKEN, Person, World, running

# Machines are shared and slow at times: what is too slow is said by the tests that measure it.
hypothesis.settings.register_profile("lectern", deadline=None)
hypothesis.settings.load_profile("lectern")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "widgets"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "docs/dot.png").write_bytes(PNG)
    return root


@pytest.fixture
def model() -> Model:
    return Model(api_key=KEY)


@pytest.fixture
def forgejo() -> Forgejo:
    forge = Forgejo()
    forge.add_user("keeper")
    forge.add_repository("acme/widgets", labels=[("bug", "d73a4a"), ("docs", "0075ca")])
    forge.add_token(TOKEN, "keeper")
    return forge


@pytest.fixture
def world(model: Model, forgejo: Forgejo) -> Iterator[World]:
    served = World(serve(model), serve(forgejo))
    yield served
    served.model.close()
    served.forge.close()


@pytest.fixture
def bare_settings(repository: Path) -> Settings:
    """Nothing is configured but the root."""
    return Settings(root=repository, state_dir=repository / ".lectern")


@pytest.fixture
def settings(bare_settings: Settings, world: World) -> Settings:
    return replace(
        bare_settings,
        llm=LLMSettings(Secret(KEY), "test-model", f"{world.model.url}/v1"),
        forge=ForgeSettings(
            world.forge.url, world.forge.url, Secret(TOKEN), "acme/widgets", ("acme/widgets",)
        ),
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    yield from running(settings)


@pytest.fixture
def bare_app(bare_settings: Settings) -> Iterator[Flask]:
    yield from running(bare_settings)


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app.test_client())


@pytest.fixture
def bare_person(bare_app: Flask) -> Person:
    return Person(bare_app.test_client())
