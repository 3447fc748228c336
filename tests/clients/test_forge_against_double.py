"""The Forgejo client against the simulated Forgejo, over a real connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from app.demo.forgejo import Forgejo
from app.demo.traffic import Fault
from app.demo.wire import Server, serve
from app.services.errors import UpstreamError
from app.services.forge import ForgejoClient
from app.services.http import Timing
from app.services.protocols import Issue

ADA = "a" * 40
READER = "b" * 40
MARKER = "<!-- lectern:5f0c -->"
PUBLIC = "https://git.example.org"
HASTY = Timing(read_s=0.2, total_s=1, retry_pauses_s=())


@pytest.fixture(params=["11.0.15", "15.0.3", "16.0.0"])
def forge(request: pytest.FixtureRequest) -> Forgejo:
    forge = Forgejo(version=request.param, root_url="http://forge.internal:3000")
    forge.add_token(ADA, "ada")
    forge.add_token(READER, "reader")
    forge.add_repository(
        "acme/widgets",
        labels=[("bug", "ee0701"), ("ui", "84b6eb")],
        organisation=True,
        organisation_labels=[("urgent", "000000"), ("bug", "111111")],
        writers=["ada"],
    )
    return forge


@pytest.fixture
def server(forge: Forgejo) -> Iterator[Server]:
    with serve(forge) as server:
        yield server


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., ForgejoClient]]:
    made: list[ForgejoClient] = []

    def connect(token: str = ADA, timing: Timing | None = None) -> ForgejoClient:
        made.append(ForgejoClient(server.url, public_url=PUBLIC, token=token, timing=timing))
        return made[-1]

    yield connect
    for client in made:
        client.close()


Connect = Callable[..., ForgejoClient]


def create(client: ForgejoClient, title: str = "Widgets leak", **others: list[int]) -> Issue:
    return client.create_issue("acme/widgets", title=title, body=f"Oil.\n\n{MARKER}", **others)


def create_error(client: ForgejoClient) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        create(client)
    return caught.value


def find(client: ForgejoClient) -> Issue | None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    return client.find_issue("acme/widgets", marker=MARKER, since=since)


def test_the_version_is_read(forge: Forgejo, connect: Connect) -> None:
    assert connect().version().endswith("+gitea-1.22.0")


def test_an_issue_gets_its_labels_and_a_public_address(forge: Forgejo, connect: Connect) -> None:
    client = connect()
    ids = {label.name: label.id for label in client.labels("acme/widgets")}
    issue = create(client, labels=[ids["bug"], ids["urgent"]])
    assert issue.labels == ("bug", "urgent")
    assert issue.url == f"{PUBLIC}/acme/widgets/issues/{issue.number}"
    (stored,) = forge.issues("acme/widgets")
    assert (stored.title, stored.body) == ("Widgets leak", f"Oil.\n\n{MARKER}")


def test_of_two_labels_with_one_name_the_repositorys_counts(
    forge: Forgejo, connect: Connect
) -> None:
    labels = connect().labels("acme/widgets")
    assert [label.name for label in labels] == ["bug", "ui", "urgent"]
    assert labels[0].color == "ee0701"


def test_every_label_of_many_is_found(forge: Forgejo, connect: Connect) -> None:
    names = [f"label {number:03}" for number in range(120)]
    forge.add_repository("ada/many", labels=[(name, "ffffff") for name in names])
    assert [label.name for label in connect().labels("ada/many")] == names


def test_without_the_scope_for_organisations_the_repositorys_labels_remain(
    forge: Forgejo, connect: Connect
) -> None:
    narrow = "c" * 40
    forge.add_token(narrow, "ada", ["write:issue"])
    assert [label.name for label in connect(narrow).labels("acme/widgets")] == ["bug", "ui"]


def test_labels_that_forgejo_drops_are_missing_in_the_issue(
    forge: Forgejo, connect: Connect
) -> None:
    bug = forge.label_id("acme/widgets", "bug")
    assert create(connect(READER), labels=[bug]).labels == ()
    assert create(connect(), labels=[bug, 999_999]).labels == ("bug",)


def test_a_long_title_is_the_one_forgejo_kept(forge: Forgejo, connect: Connect) -> None:
    assert create(connect(), "ü" * 200).title == "ü" * 126 + "…"


def test_an_unknown_token_is_refused_without_being_repeated(
    forge: Forgejo, connect: Connect
) -> None:
    unknown = "d" * 40
    error = create_error(connect(unknown))
    assert (error.code, error.effect) == ("unauthorized", "none")
    assert unknown not in str(error)


def test_a_missing_scope_is_named(forge: Forgejo, connect: Connect) -> None:
    narrow = "c" * 40
    forge.add_token(narrow, "ada", ["read:issue"])
    error = create_error(connect(narrow))
    assert str(error) == (
        "The token in FORGE_TOKEN may not create issues in acme/widgets: "
        "it lacks the scope write:issue."
    )


def test_a_renamed_repository_is_moved_and_nothing_is_created(
    forge: Forgejo, connect: Connect
) -> None:
    forge.rename_repository("acme/widgets", "acme/gadgets")
    error = create_error(connect())
    assert (error.code, error.effect) == ("moved", "none")
    assert len(forge.requests) == 1
    assert forge.issues("acme/gadgets") == ()


@pytest.mark.parametrize(
    ("kind", "code"),
    [({"archived": True}, "archived"), ({"private": True, "writers": []}, "not_found")],
    ids=["archived", "hidden"],
)
def test_a_repository_that_takes_no_issue_says_why(
    forge: Forgejo, connect: Connect, kind: dict[str, bool], code: str
) -> None:
    forge.add_repository("acme/widgets", **kind)
    error = create_error(connect(READER))
    assert (error.code, error.effect) == (code, "none")


AFTER = {
    "reset": Fault(when="after", drop=True),
    "bad gateway": Fault(when="after", status=502, body=b"<h1>502", content_type="text/html"),
    "late": Fault(when="after", stall_s=5),
    "web page": Fault(when="after", status=200, body=b"<p>", content_type="text/html"),
}


@pytest.mark.parametrize("fault", AFTER.values(), ids=AFTER)
def test_an_issue_whose_answer_is_lost_is_unknown_and_found_again(
    forge: Forgejo, connect: Connect, fault: Fault
) -> None:
    client = connect(timing=HASTY)
    forge.fail_next(fault)
    assert create_error(client).effect == "unknown"
    found = find(client)
    assert found is not None
    assert [issue.number for issue in forge.issues("acme/widgets")] == [found.number]


def test_an_issue_that_never_came_to_be_is_not_found(forge: Forgejo, connect: Connect) -> None:
    client = connect(timing=HASTY)
    forge.fail_next(Fault(when="before", drop=True))
    assert create_error(client).effect == "unknown"
    assert find(client) is None


def test_an_issue_is_found_behind_many_newer_ones(forge: Forgejo, connect: Connect) -> None:
    client = connect()
    issue = create(client)
    for number in range(70):
        forge.add_issue("acme/widgets", title=f"Noise {number}", author="reader")
    assert find(client) == issue


def test_a_read_survives_a_restarting_proxy(forge: Forgejo, connect: Connect) -> None:
    forge.fail_next(Fault(method="GET", status=503, headers={"Retry-After": "60"}))
    forge.fail_next(Fault(method="GET", drop=True))
    client = connect(timing=Timing(retry_pauses_s=(0, 0)))
    assert len(client.labels("acme/widgets")) == 3


def test_nothing_listening_has_no_effect(forge: Forgejo, server: Server, connect: Connect) -> None:
    server.close()
    error = create_error(connect())
    assert (error.code, error.effect) == ("unreachable", "none")
