"""The app under a URL prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app import create_app
from app.settings import Settings
from tests.support import Person, services_of


@pytest.fixture
def mounted(bare_settings: Settings) -> Iterator[Person]:
    app = create_app(replace(bare_settings, public_url="http://localhost/team/docs"))
    yield Person(app.test_client())
    services_of(app).renderer.close()


@pytest.mark.parametrize("path", ["/team/docs", "/team/docs/"])
def test_the_first_page_is_at_the_prefix(mounted: Person, path: str) -> None:
    page = mounted.visit(path, follow_redirects=True)
    assert page.status_code == 200
    assert 'href="/team/docs/docs/docs/setup.md"' in page.text
    assert re.search(r'src="/team/docs/static/[0-9a-f]{10}/js/main.js"', page.text)


@pytest.mark.parametrize("path", ["/", "/docs/README.md", "/healthz", "/team", "/team/docsx/"])
def test_outside_of_the_prefix_nothing_exists(mounted: Person, path: str) -> None:
    answer = mounted.fetch(path)
    assert answer.status_code == 404
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_health_is_inside(mounted: Person) -> None:
    assert mounted.fetch("/team/docs/healthz").text == "ok"
