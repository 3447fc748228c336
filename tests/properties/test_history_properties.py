"""What holds of a history file whatever is in it, wherever its blocks end."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.history import (
    BLOCK_BYTES,
    MAX_LINE_BYTES,
    Conversation,
    History,
    decode,
    user_folder,
)

FRAME = len('{"role":"assistant","turn":"t0","pad":""}\n')

anything = st.characters()  # lone surrogates, controls and line separators included
sizes = st.one_of(
    st.integers(0, 200),
    st.integers(BLOCK_BYTES - FRAME - 3, BLOCK_BYTES - FRAME + 3),
    st.integers(2 * BLOCK_BYTES - FRAME - 3, 2 * BLOCK_BYTES - FRAME + 3),
)
shapes = st.lists(
    st.tuples(sizes, st.sampled_from(["user", "assistant", "tool", "torn"]), st.integers(0, 2)),
    max_size=7,
)


@contextmanager
def new_conversation() -> Iterator[Conversation]:
    with tempfile.TemporaryDirectory() as folder:
        yield History(Path(folder)).create("alice")


def line(size: int, role: str, turn: int) -> bytes:
    if role == "torn":
        return b'{"role":"' + b"x" * size
    head = f'{{"role":"{role:s}","turn":"t{turn}","pad":"'
    return head.encode() + b"x" * (size + len("assistant") - len(role)) + b'"}'


def turns_first_record(records: list[dict[str, object]], turn: str) -> int:
    """Where the newest question of `turn` stands, else where the turn begins."""
    own = [i for i, r in enumerate(records) if r["turn"] == turn]
    asked = [i for i in own if records[i]["role"] == "user"]
    return asked[-1] if asked else own[0]


@given(shapes, st.booleans(), st.integers(1, 3 * BLOCK_BYTES))
@settings(max_examples=120, deadline=None)
def test_every_way_of_reading_finds_the_same_records(
    shape: list[tuple[int, str, int]], is_torn: bool, max_bytes: int
) -> None:
    data = b"".join(line(*one) + b"\n" for one in shape)
    with new_conversation() as conversation:
        conversation.path.write_bytes(data[:-1] if is_torn else data)
        records = list(conversation.records())
        assert records == [decode(line(*one)) for one in shape if one[1] != "torn"]
        assert list(conversation.backwards()) == records[::-1]
        tail = conversation.tail(max_bytes=max_bytes)
        assert list(tail.records) == records[len(records) - len(tail.records) :]
        assert tail.is_whole == (conversation.path.stat().st_size <= max_bytes)
        assert tail.is_whole or not tail.records or tail.records[0]["role"] == "user"
        for turn in {str(record["turn"]) for record in records}:
            first = turns_first_record(records, turn)
            own = [r for r in records[first:] if r["turn"] == turn]
            assert list(conversation.turn(turn)) == own


@given(shapes, st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_an_append_continues_whatever_stands_there(
    shape: list[tuple[int, str, int]], torn_bytes: int
) -> None:
    data = b"".join(line(*one) + b"\n" for one in shape)[: -torn_bytes or None]
    with new_conversation() as conversation:
        conversation.path.write_bytes(data)
        before = list(conversation.records())
        added = conversation.append("user", turn="t9", content="next")
        assert list(conversation.records()) == [*before, added]
        assert conversation.path.read_bytes().startswith(data)
        last = data.removesuffix(b"\n").split(b"\n")[-1]
        assert added["prev"] == (hashlib.sha256(last).hexdigest() if data else "")


@given(st.lists(st.text(anything, max_size=40), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_text_comes_out_as_it_went_in(texts: list[str]) -> None:
    with new_conversation() as conversation:
        for text in texts:
            conversation.append("user", turn="t1", content=text, page={text: [text]})
        records = list(conversation.records())
        assert [record["content"] for record in records] == texts
        assert [record["page"] for record in records] == [{text: [text]} for text in texts]
        assert conversation.path.read_bytes().count(b"\n") == len(texts)


@given(
    st.dictionaries(
        st.sampled_from(["content", "arguments", "diff", "summary", "x" * 50]),
        st.tuples(
            st.sampled_from(["x", "ü", "🚀", "\ud800", "\0", '"', "🚀\ud800"]),
            st.integers(0, 500_000),
            st.booleans(),
        ),
        min_size=1,
    )
)
@settings(max_examples=25, deadline=None)
def test_a_line_is_bounded_and_only_what_is_long_is_cut(
    fields: dict[str, tuple[str, int, bool]],
) -> None:
    values = {k: [t * n] if is_list else t * n for k, (t, n, is_list) in fields.items()}
    with new_conversation() as conversation:
        conversation.append("tool", turn="t1", **values)  # type: ignore[arg-type]
        data = conversation.path.read_bytes()
        assert len(data) <= MAX_LINE_BYTES + 1
        record = json.loads(data)
    short = [key for key, value in values.items() if len(json.dumps(value)) < 100_000]
    assert [record[key] for key in short] == [values[key] for key in short]
    assert record.get("truncated", False) or {key: record[key] for key in values} == values


@given(st.lists(st.text(anything, max_size=200), unique=True, min_size=2, max_size=6))
def test_every_user_has_a_folder_of_his_own(users: list[str]) -> None:
    folders = [user_folder(user) for user in users]
    assert len({folder.casefold() for folder in folders}) == len(users)
    for folder in folders:
        assert Path(folder).name == folder
        assert folder not in ("", ".", "..")
        assert folder.isascii()
        assert folder.isprintable()
        assert len(folder) <= 120
