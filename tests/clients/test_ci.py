"""What Lectern asks of Woodpecker, and what it makes of each answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

from app.demo.wire import serve
from app.demo.woodpecker import Woodpecker
from app.services.ci import WoodpeckerClient
from app.services.errors import UpstreamError
from app.services.http import Timing
from app.services.protocols import CI

VERSION = "http://ci.internal:8000/ci/version"


@pytest.fixture
def client() -> Iterator[WoodpeckerClient]:
    made = WoodpeckerClient(
        "http://ci.internal:8000/ci/",
        public_url="https://ci.example.org/ci",
        token="eyJhbGciOiJI.eyJ0eXBl.c2ln",
        timing=Timing(retry_pauses_s=()),
    )
    yield made
    made.close()


@pytest.fixture
def upstream() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


Mock = responses.RequestsMock


def test_the_client_is_a_ci(client: WoodpeckerClient) -> None:
    ci: CI = client
    assert ci is client


def test_the_version_is_read_beside_the_api(client: WoodpeckerClient, upstream: Mock) -> None:
    upstream.get(VERSION, json={"source": "https://example.org", "version": "3.17.0"})
    assert client.version() == "3.17.0"
    sent = upstream.calls[0].request
    assert sent.path_url == "/ci/version"
    # Woodpecker takes this word in this case only.
    assert sent.headers["Authorization"] == "Bearer eyJhbGciOiJI.eyJ0eXBl.c2ln"


def test_the_web_page_of_a_wrong_address_is_not_taken_for_an_answer(
    client: WoodpeckerClient, upstream: Mock
) -> None:
    upstream.get(VERSION, body="<!doctype html>", content_type="text/html; charset=utf-8")
    with pytest.raises(UpstreamError) as caught:
        client.version()
    assert str(caught.value) == (
        "WOODPECKER_SERVER does not lead to the API of Woodpecker: the answer is not JSON."
    )
    assert (caught.value.service, caught.value.code) == ("ci", "bad_answer")


@pytest.mark.parametrize("data", [None, [], {}, {"version": None}])
def test_a_version_that_is_none_is_a_bad_answer(
    client: WoodpeckerClient, upstream: Mock, data: object
) -> None:
    upstream.get(VERSION, json=data)
    with pytest.raises(UpstreamError) as caught:
        client.version()
    assert caught.value.code == "bad_answer"


def test_an_empty_refusal_still_makes_a_sentence(client: WoodpeckerClient, upstream: Mock) -> None:
    upstream.get(VERSION, status=401, body="")
    with pytest.raises(UpstreamError, match="the token in WOODPECKER_TOKEN"):
        client.version()


def test_a_simulated_woodpecker_answers_only_at_its_address() -> None:
    with serve(Woodpecker(version="3.17.0")) as server:
        right = WoodpeckerClient(server.url, public_url="https://ci.test", token="t")
        wrong = WoodpeckerClient(f"{server.url}/x", public_url="https://ci.test", token="t")
        assert right.version() == "3.17.0"
        with pytest.raises(UpstreamError, match="^WOODPECKER_SERVER does not lead"):
            wrong.version()
        right.close()
        wrong.close()
