"""What Lectern sends to Forgejo, byte for byte, and what it makes of each answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from app.services.errors import UpstreamError
from app.services.forge import ForgejoClient, Issue, Label
from app.services.http import Timing
from app.services.protocols import Forge

TOKEN = "0123456789abcdef0123456789abcdef01234567"
API = "http://forge.internal:3000/git/api/v1"
REPOSITORY = f"{API}/repos/acme/widgets"
ISSUES = f"{REPOSITORY}/issues"
LABELS = f"{REPOSITORY}/labels"
ORGANISATION = f"{API}/orgs/acme/labels"
SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MARKER = "<!-- lectern:5f0c -->"


@pytest.fixture
def client() -> Iterator[ForgejoClient]:
    made = ForgejoClient(
        "http://forge.internal:3000/git/",
        public_url="https://git.example.org/git/",
        token=TOKEN,
        timing=Timing(retry_pauses_s=()),
    )
    yield made
    made.close()


@pytest.fixture
def upstream() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


Mock = responses.RequestsMock


def issue(number: object = 7, **others: object) -> dict[str, Any]:
    said = {"number": number, "title": "Widgets leak", "state": "open", "labels": [], "body": ""}
    return said | {"html_url": "javascript:alert(1)"} | others


def label(number: int, name: str, **others: object) -> dict[str, Any]:
    return {"id": number, "name": name, "color": "ff0000", "is_archived": False} | others


def create(client: ForgejoClient, **others: Any) -> Issue:
    return client.create_issue("acme/widgets", title="Widgets leak", body="Oil.", **others)


def query(upstream: Mock, call: int) -> dict[str, str]:
    url = upstream.calls[call].request.url
    return {name: values[0] for name, values in parse_qs(urlsplit(str(url)).query).items()}


def serve_pages(upstream: Mock, url: str, rows: list[Any], *, size: int, count: str = "") -> None:
    """A list as Forgejo pages it, with or without the header that says how many there are."""
    headers = {"X-Total-Count": count} if count else {}
    pages = [rows[start : start + size] for start in range(0, len(rows) + size, size)]
    for number, page in enumerate(pages, start=1):
        match = [responses.matchers.query_param_matcher({"page": number}, strict_match=False)]
        upstream.get(url, json=page, headers=headers, match=match)


def test_the_client_is_a_forge(client: ForgejoClient) -> None:
    forge: Forge = client
    assert forge is client


# Version


def test_the_version_is_read(client: ForgejoClient, upstream: Mock) -> None:
    upstream.get(f"{API}/version", json={"version": "15.0.3+gitea-1.22.0"})
    assert client.version() == "15.0.3+gitea-1.22.0"


@pytest.mark.parametrize("data", [None, [], {}, {"version": 15}, "15"])
def test_a_version_that_is_none_is_a_bad_answer(
    client: ForgejoClient, upstream: Mock, data: object
) -> None:
    upstream.get(f"{API}/version", json=data)
    with pytest.raises(UpstreamError) as caught:
        client.version()
    assert caught.value.code == "bad_answer"


def test_a_web_page_instead_of_the_api_says_which_setting_is_wrong(
    client: ForgejoClient, upstream: Mock
) -> None:
    upstream.get(f"{API}/version", body="<html>", content_type="text/html")
    with pytest.raises(UpstreamError, match="^FORGE_URL does not lead to the API of Forgejo"):
        client.version()


# Creating an issue


def test_an_issue_is_sent_as_forgejo_wants_it(client: ForgejoClient, upstream: Mock) -> None:
    upstream.post(ISSUES, status=201, json=issue())
    create(client, labels=[3, 1])
    sent = upstream.calls[0].request
    assert sent.path_url == "/git/api/v1/repos/acme/widgets/issues"
    assert sent.headers["Authorization"] == f"Bearer {TOKEN}"
    assert sent.headers["Content-Type"] == "application/json"
    assert json.loads(sent.body or "") == {
        "title": "Widgets leak",
        "body": "Oil.",
        "labels": [3, 1],
    }


def test_the_answer_decides_what_the_issue_is_but_not_its_address(
    client: ForgejoClient, upstream: Mock
) -> None:
    said = issue(12, title="Widgets le…", labels=[label(3, "bug"), label(4, "ui")])
    upstream.post(ISSUES, status=201, json=said)
    assert create(client, labels=[3, 4, 99]) == Issue(
        number=12,
        url="https://git.example.org/git/acme/widgets/issues/12",
        title="Widgets le…",
        labels=("bug", "ui"),
        state="open",
    )


def test_an_issue_without_any_label_may_say_null(client: ForgejoClient, upstream: Mock) -> None:
    upstream.post(ISSUES, status=201, json=issue(labels=None))
    assert create(client).labels == ()


@pytest.mark.parametrize(
    "data",
    [None, [], [issue()], "7", {}, issue("7"), issue(0), issue(-1), issue(7.0), issue(True)],
    ids=str,
)
def test_a_201_without_a_number_leaves_the_issue_unknown(
    client: ForgejoClient, upstream: Mock, data: object
) -> None:
    upstream.post(ISSUES, status=201, json=data)
    with pytest.raises(UpstreamError) as caught:
        create(client)
    assert (caught.value.code, caught.value.effect) == ("bad_answer", "unknown")


def test_a_list_of_issues_with_200_is_not_taken_for_a_new_one(
    client: ForgejoClient, upstream: Mock
) -> None:
    upstream.post(ISSUES, status=200, json=[issue()])
    with pytest.raises(UpstreamError) as caught:
        create(client)
    assert (caught.value.code, caught.value.effect) == ("bad_answer", "unknown")


NOT_TAKEN = "Forgejo did not take what it got to create issues in acme/widgets."
MAY_NOT = "The token in FORGE_TOKEN may not create issues in acme/widgets"


@pytest.mark.parametrize(
    ("status", "message", "code", "sentence"),
    [
        (301, "", "moved", "Forgejo says that the repository acme/widgets is at another address. "
         "If it was renamed, put its new name into the settings; otherwise correct FORGE_URL."),
        (307, "", "moved", "Forgejo says that the repository acme/widgets is at another address. "
         "If it was renamed, put its new name into the settings; otherwise correct FORGE_URL."),
        (401, f"access token does not exist [sha: {TOKEN}]", "unauthorized",
         "Forgejo does not accept the token in FORGE_TOKEN. Put a valid one there."),
        (401, "token is required", "unauthorized",
         "Forgejo does not accept the token in FORGE_TOKEN. Put a valid one there."),
        (403, "Only administrators allowed to sudo.", "forbidden",
         f"{MAY_NOT}. Forgejo says: “Only administrators allowed to sudo.”"),
        (403, "token does not have at least one of required scope(s): [write:issue]", "forbidden",
         f"{MAY_NOT}: it lacks the scope write:issue."),
        (403, "token scope is limited to public issues", "forbidden",
         f"{MAY_NOT}. Forgejo says: “token scope is limited to public issues”"),
        (403, "user is blocked by the poster or repository owner", "forbidden",
         f"{MAY_NOT}. Forgejo says: “user is blocked by the poster or repository owner”"),
        (404, "The target couldn't be found.", "not_found", "Forgejo does not know the repository "
         "acme/widgets, or the token in FORGE_TOKEN may not see it."),
        (412, "issue 3 is open", "invalid", "Forgejo refused to create issues in acme/widgets "
         "(status 412). Forgejo says: “issue 3 is open”"),
        (422, "[Title]: Required", "invalid",
         f"{NOT_TAKEN} Forgejo says: “[Title]: Required”"),
        (422, "Assignee does not exist: [name: x]", "invalid",
         f"{NOT_TAKEN} Forgejo says: “Assignee does not exist: [name: x]”"),
        (423, "<Repository 12:acme/widgets> is archived", "archived",
         "The repository acme/widgets is archived on Forgejo, so nothing can be created in it."),
        (429, "", "rate_limited", "Forgejo gets too many requests. Try again later."),
    ],
)  # fmt: skip
def test_each_refusal_of_an_issue_is_said_plainly(
    client: ForgejoClient, upstream: Mock, status: int, message: str, code: str, sentence: str
) -> None:
    upstream.post(ISSUES, status=status, json={"message": message, "url": "x"})
    with pytest.raises(UpstreamError) as caught:
        create(client)
    error = caught.value
    assert (error.service, error.code, error.status, error.effect) == (
        "forge",
        code,
        status,
        "none",
    )
    assert str(error) == sentence


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_forgejo_leaves_the_issue_unknown_and_is_not_repeated(
    client: ForgejoClient, upstream: Mock, status: int
) -> None:
    upstream.post(ISSUES, status=status, json={"message": ""})
    with pytest.raises(UpstreamError) as caught:
        create(client)
    assert (caught.value.code, caught.value.effect) == ("failed", "unknown")
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("name", ["a/b", "A1_x.y-z/_b.c-d", "acme/.github", "acme/..."])
def test_real_names_of_repositories_reach_the_path_unchanged(
    client: ForgejoClient, upstream: Mock, name: str
) -> None:
    upstream.post(f"{API}/repos/{name}/issues", status=201, json=issue())
    client.create_issue(name, title="x", body="")
    assert upstream.calls[0].request.path_url == f"/git/api/v1/repos/{name}/issues"


@pytest.mark.parametrize(
    "name",
    ["", "acme", "acme/", "/widgets", "acme/widgets/x", "acme/..", "acme/.", "../admin", "./x",
     "acme/%2e%2e", "acme/x?y=1", "acme/x#y", "acme/x@host", "acme/x y", "acme/widgets\n", "ácme/x",
     "acme/wídgets", "acme\\widgets", "acme/" + "x" * 101, "-acme/x"],
)  # fmt: skip
def test_other_names_send_nothing(client: ForgejoClient, upstream: Mock, name: str) -> None:
    for call in (
        lambda: client.create_issue(name, title="x", body=""),
        lambda: client.labels(name),
        lambda: client.find_issue(name, marker=MARKER, since=SINCE),
    ):
        with pytest.raises(UpstreamError, match="as owner/name") as caught:
            call()
        assert (caught.value.code, caught.value.effect) == ("invalid", "none")


# Labels


def test_labels_are_the_repositorys_then_the_organisations(
    client: ForgejoClient, upstream: Mock
) -> None:
    upstream.get(LABELS, json=[label(3, "bug"), label(4, "old", is_archived=True)])
    upstream.get(ORGANISATION, json=[label(9, "urgent"), label(8, "old")])
    assert client.labels("acme/widgets") == (
        Label(3, "bug", "ff0000"),
        Label(9, "urgent", "ff0000"),
        Label(8, "old", "ff0000"),
    )
    assert [call.request.path_url for call in upstream.calls] == [
        "/git/api/v1/repos/acme/widgets/labels?page=1&limit=50",
        "/git/api/v1/orgs/acme/labels?page=1&limit=50",
    ]


def test_of_labels_with_one_name_the_first_counts(client: ForgejoClient, upstream: Mock) -> None:
    upstream.get(LABELS, json=[label(3, "bug"), label(4, "bug"), label(5, "Bug")])
    upstream.get(ORGANISATION, json=[label(9, "bug")])
    assert [each.id for each in client.labels("acme/widgets")] == [3, 5]


@pytest.mark.parametrize("counts", [True, False], ids=["counted", "uncounted"])
@pytest.mark.parametrize("amount", [0, 1, 49, 50, 51, 100, 120])
def test_every_page_of_labels_is_read(client: ForgejoClient, amount: int, counts: bool) -> None:
    rows = [label(number, f"label {number}") for number in range(1, amount + 1)]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as upstream:
        serve_pages(upstream, LABELS, rows, size=50, count=str(amount) if counts else "")
        upstream.get(ORGANISATION, status=404, json={})
        assert len(client.labels("acme/widgets")) == amount


def test_a_server_with_smaller_pages_loses_no_label(client: ForgejoClient) -> None:
    rows = [label(number, f"label {number}") for number in range(1, 46)]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as upstream:
        serve_pages(upstream, LABELS, rows, size=20, count="45")
        upstream.get(ORGANISATION, status=404, json={})
        assert len(client.labels("acme/widgets")) == 45


@pytest.mark.parametrize("said", ["1", "99"])
def test_a_wrong_count_neither_ends_nor_prolongs_the_reading(
    client: ForgejoClient, said: str
) -> None:
    rows = [label(number, f"label {number}") for number in range(1, 61)]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as upstream:
        serve_pages(upstream, LABELS, rows, size=50, count=said)
        upstream.get(ORGANISATION, status=404, json={})
        assert len(client.labels("acme/widgets")) == 60


def test_labels_that_never_end_are_an_error(client: ForgejoClient, upstream: Mock) -> None:
    upstream.get(LABELS, json=[label(number, str(number)) for number in range(1, 51)])
    with pytest.raises(UpstreamError, match="has more than Lectern reads"):
        client.labels("acme/widgets")
    assert len(upstream.calls) == 40


@pytest.mark.parametrize("status", [403, 404])
def test_an_owner_without_readable_labels_adds_none(
    client: ForgejoClient, upstream: Mock, status: int
) -> None:
    upstream.get(LABELS, json=[label(3, "bug")])
    upstream.get(ORGANISATION, status=status, json={"message": "No."})
    assert [each.name for each in client.labels("acme/widgets")] == ["bug"]


@pytest.mark.parametrize("url", [LABELS, ORGANISATION], ids=["repository", "organisation"])
def test_labels_that_cannot_be_read_are_an_error(client: ForgejoClient, url: str) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as upstream:
        upstream.get(url, status=500)
        upstream.get(LABELS, json=[])
        with pytest.raises(UpstreamError) as caught:
            client.labels("acme/widgets")
    assert (caught.value.code, caught.value.effect) == ("failed", "none")


def test_a_list_may_be_null(client: ForgejoClient, upstream: Mock) -> None:
    upstream.get(LABELS, body="null", content_type="application/json")
    upstream.get(ORGANISATION, body="null", content_type="application/json")
    assert client.labels("acme/widgets") == ()


@pytest.mark.parametrize(
    "data", [{}, "x", [1], [{"name": "bug"}], [{"id": "3", "name": "bug"}], [{"id": 3}]], ids=str
)
def test_labels_that_make_no_sense_are_a_bad_answer(
    client: ForgejoClient, upstream: Mock, data: object
) -> None:
    upstream.get(LABELS, json=data)
    with pytest.raises(UpstreamError) as caught:
        client.labels("acme/widgets")
    assert caught.value.code == "bad_answer"


# Finding an issue again


def find(client: ForgejoClient, since: datetime = SINCE) -> Issue | None:
    return client.find_issue("acme/widgets", marker=MARKER, since=since)


def test_an_issue_is_found_by_its_marker_and_not_by_a_search(
    client: ForgejoClient, upstream: Mock
) -> None:
    marked = issue(8, body=f"Oil.\r\n{MARKER}\r\n", state="closed", labels=[label(3, "bug")])
    upstream.get(ISSUES, json=[issue(9), marked, issue(7, body=None)])
    found = find(client)
    assert found == Issue(
        8, "https://git.example.org/git/acme/widgets/issues/8", "Widgets leak", ("bug",), "closed"
    )
    assert query(upstream, 0) == {
        "state": "all",
        "type": "issues",
        "since": "2026-03-01T11:45:00Z",
        "page": "1",
        "limit": "20",
    }


def test_since_is_sent_in_utc(client: ForgejoClient, upstream: Mock) -> None:
    upstream.get(ISSUES, json=[])
    find(client, SINCE.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert query(upstream, 0)["since"] == "2026-03-01T11:45:00Z"


def test_of_several_with_the_marker_the_oldest_is_it(client: ForgejoClient, upstream: Mock) -> None:
    upstream.get(ISSUES, json=[issue(9, body=f"quoted: {MARKER}"), issue(8, body=MARKER)])
    found = find(client)
    assert found is not None
    assert found.number == 8


@pytest.mark.parametrize("counts", [True, False], ids=["counted", "uncounted"])
def test_an_issue_on_the_last_page_is_found(client: ForgejoClient, counts: bool) -> None:
    rows = [issue(number) for number in range(60, 1, -1)] + [issue(1, body=MARKER)]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as upstream:
        serve_pages(upstream, ISSUES, rows, size=20, count="60" if counts else "")
        found = find(client)
    assert found is not None
    assert found.number == 1


@pytest.mark.parametrize("body", ["null", "[]"])
def test_none_is_said_when_there_are_no_issues(
    client: ForgejoClient, upstream: Mock, body: str
) -> None:
    upstream.get(ISSUES, body=body, content_type="application/json")
    assert find(client) is None


def test_none_is_not_said_when_not_every_page_was_read(
    client: ForgejoClient, upstream: Mock
) -> None:
    upstream.get(ISSUES, json=[issue(number) for number in range(1, 21)])
    with pytest.raises(UpstreamError, match=r"has more than Lectern reads .* \(800 of them"):
        find(client)
    assert len(upstream.calls) == 40


def test_none_is_not_said_when_a_later_page_fails(client: ForgejoClient) -> None:
    with responses.RequestsMock() as upstream:
        first, second = (
            [responses.matchers.query_param_matcher({"page": page}, strict_match=False)]
            for page in (1, 2)
        )
        upstream.get(ISSUES, json=[issue(number) for number in range(1, 21)], match=first)
        upstream.get(ISSUES, status=502, match=second)
        with pytest.raises(UpstreamError) as caught:
            find(client)
    assert (caught.value.code, caught.value.effect) == ("failed", "none")


def test_pages_share_one_deadline(upstream: Mock) -> None:
    client = ForgejoClient(
        "http://forge.internal:3000/git",
        public_url="https://git.example.org",
        token=TOKEN,
        timing=Timing(total_s=0.4),
    )

    def slow(_: object) -> tuple[int, dict[str, str], str]:
        threading.Event().wait(0.1)
        return 200, {}, json.dumps([issue(number) for number in range(1, 21)])

    upstream.add_callback("GET", ISSUES, slow, content_type="application/json")
    with pytest.raises(UpstreamError) as caught:
        find(client)
    client.close()
    assert caught.value.code == "timeout"
    assert 1 < len(upstream.calls) < 6
