"""The history file: what a record looks like, what survives, and who may have it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from app.services.errors import ConversationNotFound, StorageFailed
from app.services.history import (
    MAX_LINE_BYTES,
    Conversation,
    History,
    decode,
    is_conversation_id,
    new_conversation_id,
    parse_timestamp,
    timestamp,
    user_folder,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
COMMON = {"v", "id", "ts", "user", "conversation", "turn", "role", "prev"}


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(tmp_path: Path, clock: Clock) -> History:
    return History(tmp_path / "history", now=clock)


@pytest.fixture
def conversation(history: History) -> Conversation:
    return history.create("alice")


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def lines(conversation: Conversation) -> list[bytes]:
    data = conversation.path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return data.split(b"\n")[:-1]


def broken_links(conversation: Conversation) -> list[int]:
    """The numbers of the lines whose `prev` is not the hash of the line before."""
    broken, before = [], ""
    for number, line in enumerate(lines(conversation), start=1):
        record = decode(line)  # a torn line says nothing of the one before it
        if record is not None and record["prev"] != before:
            broken.append(number)
        before = hashlib.sha256(line).hexdigest()
    return broken


def contents(conversation: Conversation) -> list[object]:
    return [record["content"] for record in conversation.records()]


class TestRecord:
    def test_it_has_the_common_keys_and_its_own(
        self, conversation: Conversation, clock: Clock
    ) -> None:
        page = {"kind": "doc", "doc": "README.md", "sha256": "0" * 64}
        conversation.append("user", turn="t1", content="Why?", page=page)
        record = json.loads(lines(conversation)[0])
        assert record.keys() == COMMON | {"content", "page"}
        assert record["v"] == 1
        assert record["ts"] == "2026-11-20T12:00:00.000Z"
        assert record["user"] == "alice"
        assert record["conversation"] == conversation.id
        assert (record["turn"], record["role"]) == ("t1", "user")
        assert (record["content"], record["page"]) == ("Why?", page)

    def test_what_is_returned_is_what_stands_in_the_file(self, conversation: Conversation) -> None:
        record = conversation.append("tool", turn="t1", name="read_file", ok=True, ms=3)
        assert record == json.loads(lines(conversation)[0])

    def test_every_record_has_an_id_of_its_own(self, conversation: Conversation) -> None:
        ids = {conversation.append("tool", turn="t1")["id"] for _ in range(20)}
        assert len(ids) == 20

    def test_roles_and_keys_of_the_future_are_kept(self, conversation: Conversation) -> None:
        strange: dict[str, Any] = {"v": 9, "role": "oracle", "prophecy": [1, {"a": None}]}
        conversation.path.write_text(json.dumps(strange) + "\n")
        assert list(conversation.records()) == [strange]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_json_does_not_have_are_kept_as_words(
        self, conversation: Conversation, value: float
    ) -> None:
        conversation.append("tool", turn="t1", arguments={"at": [value, "\ud800"]})
        words: list[str] = []
        record = json.loads(lines(conversation)[0], parse_constant=words.append)
        assert not words
        assert record["arguments"]["at"][0] in ("NaN", "Infinity", "-Infinity")


class TestChain:
    def test_the_first_record_has_no_previous(self, conversation: Conversation) -> None:
        assert conversation.append("user", turn="t1")["prev"] == ""

    def test_each_record_names_the_hash_of_the_line_before(
        self, conversation: Conversation
    ) -> None:
        for number in range(5):
            conversation.append("user", turn="t1", content=f"ü {number}")
        first, second = lines(conversation)[:2]
        assert json.loads(second)["prev"] == hashlib.sha256(first).hexdigest()
        assert broken_links(conversation) == []

    def test_lines_longer_than_a_block_are_hashed_whole(self, conversation: Conversation) -> None:
        for size in (200_000, 65_536, 1, 131_072):
            conversation.append("user", turn="t1", content="x" * size)
        assert broken_links(conversation) == []

    @pytest.mark.parametrize("damage", ["edited", "removed", "swapped", "repeated"])
    def test_damage_shows(self, conversation: Conversation, damage: str) -> None:
        for number in range(4):
            conversation.append("user", turn="t1", content=str(number))
        a, b, c, d = lines(conversation)
        damaged = {
            "edited": [a, b.replace(b'"1"', b'"9"'), c, d],
            "removed": [a, c, d],
            "swapped": [a, c, b, d],
            "repeated": [a, b, b, c, d],
        }
        conversation.path.write_bytes(b"\n".join(damaged[damage]) + b"\n")
        assert broken_links(conversation)
        assert len(list(conversation.records())) == len(damaged[damage])

    def test_it_goes_on_behind_an_edited_line(self, conversation: Conversation) -> None:
        conversation.append("user", turn="t1", content="one")
        data = conversation.path.read_bytes()
        conversation.path.write_bytes(data.replace(b"one", b"two"))
        conversation.append("user", turn="t1", content="three")
        assert broken_links(conversation) == []


class TestTime:
    def test_it_is_utc_with_milliseconds(self) -> None:
        there = datetime(2026, 1, 1, 1, 0, 0, 987_654, tzinfo=timezone(timedelta(hours=2)))
        assert timestamp(there) == "2025-12-31T23:00:00.987Z"
        assert parse_timestamp("2025-12-31T23:00:00.987Z") == there.replace(microsecond=987_000)

    def test_it_ascends_though_the_clock_stands_still_or_goes_back(
        self, conversation: Conversation, clock: Clock
    ) -> None:
        stamps = []
        for seconds in (0, 0, 0, -86_400, 5, -1):
            clock.now = NOON + timedelta(seconds=seconds)
            stamps.append(conversation.append("user", turn="t1")["ts"])
        assert stamps == sorted(set(stamps))
        assert stamps[-2:] == ["2026-11-20T12:00:05.000Z", "2026-11-20T12:00:05.001Z"]

    def test_it_ascends_across_a_torn_line(self, conversation: Conversation, clock: Clock) -> None:
        conversation.append("user", turn="t1")
        with conversation.path.open("ab") as file:
            file.write(b'{"v":1,"ts":"20')
        clock.now = NOON - timedelta(hours=1)
        assert conversation.append("user", turn="t1")["ts"] == "2026-11-20T12:00:00.001Z"

    @pytest.mark.parametrize("ts", ["yesterday", "9999-12-31T23:59:59.999Z", 9, None, ""])
    def test_a_time_that_was_edited_into_nonsense_stops_nothing(
        self, conversation: Conversation, ts: object
    ) -> None:
        conversation.path.write_text(json.dumps({"ts": ts, "role": "user"}) + "\n")
        assert conversation.append("user", turn="t1")["ts"] == "2026-11-20T12:00:00.000Z"


class TestTornTail:
    TORN = b'{"v":1,"content":"half a li'

    def test_readers_pass_it_over(self, conversation: Conversation) -> None:
        conversation.append("user", turn="t1", content="whole")
        with conversation.path.open("ab") as file:
            file.write(self.TORN)
        assert contents(conversation) == ["whole"]
        assert [r["content"] for r in conversation.backwards()] == ["whole"]
        assert [r["content"] for r in conversation.tail(max_bytes=10_000).records] == ["whole"]

    def test_the_next_record_stands_on_a_line_of_its_own(self, conversation: Conversation) -> None:
        conversation.append("user", turn="t1", content="one")
        with conversation.path.open("ab") as file:
            file.write(self.TORN)
        conversation.append("user", turn="t1", content="two")
        assert contents(conversation) == ["one", "two"]
        assert lines(conversation)[1] == self.TORN
        assert json.loads(lines(conversation)[2])["prev"] == hashlib.sha256(self.TORN).hexdigest()
        assert broken_links(conversation) == []

    def test_a_reader_that_met_it_does_not_take_its_rest_for_a_line(
        self, conversation: Conversation
    ) -> None:
        conversation.append("user", turn="t1", content="one")
        conversation.append("user", turn="t1", content="two")
        data = conversation.path.read_bytes()
        conversation.path.write_bytes(data[:-20])
        reading = conversation.lines()
        met = [next(reading), next(reading)]
        with conversation.path.open("ab") as file:
            file.write(data[-20:])
        assert met == [data.split(b"\n")[0], data.split(b"\n")[1][:-19]]
        assert list(reading) == []

    def test_it_may_be_all_there_is(self, conversation: Conversation) -> None:
        conversation.path.write_bytes(self.TORN)
        conversation.append("user", turn="t1", content="one")
        assert contents(conversation) == ["one"]

    def test_a_record_that_lacks_only_its_newline_is_kept(self, conversation: Conversation) -> None:
        conversation.append("user", turn="t1", content="one")
        conversation.path.write_bytes(conversation.path.read_bytes().rstrip(b"\n"))
        conversation.append("user", turn="t1", content="two")
        assert contents(conversation) == ["one", "two"]
        assert broken_links(conversation) == []

    @pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\xff\xfe", b"[1]", b"7", b'"x"', b""])
    def test_garbage_in_the_middle_is_passed_over(
        self, conversation: Conversation, garbage: bytes
    ) -> None:
        conversation.append("user", turn="t1", content="one")
        with conversation.path.open("ab") as file:
            file.write(garbage + b"\n")
        conversation.append("user", turn="t1", content="two")
        assert contents(conversation) == ["one", "two"]
        assert broken_links(conversation) == []

    def test_brackets_without_end_are_passed_over(self, conversation: Conversation) -> None:
        conversation.path.write_bytes(b'{"a":' + b"[" * 100_000 + b"\n")
        conversation.append("user", turn="t1", content="one")
        assert contents(conversation) == ["one"]


class TestText:
    @pytest.mark.parametrize(
        "text",
        [
            "two\nlines\r\nand\rmore\x0b\x0c\x85",
            "a line\u2028separator and a paragraph\u2029separator",
            "a lone \ud800 surrogate, \udfff another",
            "NUL \0 and \x1b[31m",
            "🚀 👩‍👩‍👧 e\u0301 \U0010ffff",
            '"quotes" \\ and </script>',
            "\ufeff\u202e",
        ],
    )
    def test_it_comes_out_as_it_went_in(self, conversation: Conversation, text: str) -> None:
        conversation.append("user", turn="t1", content=text, page={text: [text]})
        assert len(lines(conversation)) == 1
        record = next(conversation.records())
        assert (record["content"], record["page"]) == (text, {text: [text]})

    def test_text_is_stored_as_utf_8(self, conversation: Conversation) -> None:
        conversation.append("user", turn="t1", content="Grüße 🚀")
        assert "Grüße 🚀".encode() in conversation.path.read_bytes()


class TestCap:
    @pytest.mark.parametrize("text", ["x", '"', "\0", "ü", "🚀", "🚀\ud800"], ids=ascii)
    def test_a_line_is_never_longer_than_a_megabyte(
        self, conversation: Conversation, text: str
    ) -> None:
        content = text * (2_000_000 // len(text))
        conversation.append("user", turn="t1", content=content)
        (line,) = lines(conversation)
        record = json.loads(line)
        assert len(line) <= MAX_LINE_BYTES
        assert record["truncated"] is True
        assert content.startswith(record["content"])

    def test_as_much_is_kept_as_fits(self, conversation: Conversation) -> None:
        record = conversation.append("user", turn="t1", content="x" * 2_000_000)
        assert len(record["content"]) > 990_000

    def test_a_record_that_fits_is_left_alone(self, conversation: Conversation) -> None:
        record = conversation.append("user", turn="t1", content="x" * 990_000)
        assert "truncated" not in record
        assert len(record["content"]) == 990_000

    def test_only_what_is_too_long_is_cut(self, conversation: Conversation) -> None:
        record = conversation.append(
            "tool",
            turn="t1",
            name="edit_file",
            ok=True,
            content="Replaced.",
            arguments={"new": "x" * 2_000_000},
            diff="+" * 2_000_000,
        )
        assert (record["name"], record["ok"], record["content"]) == ("edit_file", True, "Replaced.")
        assert len(record["arguments"]) > 400_000
        assert len(record["diff"]) > 400_000
        assert len(lines(conversation)[0]) <= MAX_LINE_BYTES

    @pytest.mark.parametrize("key", ["summary", "page", "error", "sources", "anything"])
    def test_no_key_is_without_a_bound(self, conversation: Conversation, key: str) -> None:
        more: dict[str, Any] = {key: ["x" * 1000] * 2000}
        conversation.append("user", turn="t1", **more)
        assert len(lines(conversation)[0]) <= MAX_LINE_BYTES

    def test_the_chain_goes_on_behind_a_cut_record(self, conversation: Conversation) -> None:
        for _ in range(3):
            conversation.append("user", turn="t1", content="y" * 1_500_000)
        assert broken_links(conversation) == []


class TestIds:
    def test_a_new_one_is_an_id(self) -> None:
        assert is_conversation_id(new_conversation_id())

    @pytest.mark.parametrize(
        "name",
        ["abcdef012345\n", "abcdef01234", "abcdef0123456", "ABCDEF012345", "", "../../etc/x"]
        + ["abcdef01234g", " abcdef01234", "abcdef01234\0", "٠١٢٣٤٥٦٧٨٩٠١"],
        ids=ascii,
    )
    def test_what_is_none_is_neither_found_nor_made(self, history: History, name: str) -> None:
        with pytest.raises(ConversationNotFound):
            history.conversation("alice", name)
        if name:
            with pytest.raises(ConversationNotFound):
                history.create("alice", name)
        assert not (history.directory / "alice").exists() or not any(
            (history.directory / "alice").iterdir()
        )

    def test_one_may_be_given(self, history: History) -> None:
        assert history.create("alice", "abcdef012345").path.name == "abcdef012345.ndjson"


HOSTILE_NAMES = (
    *("alice", "Alice", "ALICE", "alicE", "álice", "a\u0301lice", "alice ", "alice.", "alice\n"),
    *("", ".", "..", "../x", "..\\x", "/", "/etc/passwd", "a/b", "a%2Fb", "a%2fb", "%2E", "~"),
    *("CON", "nul", "-rf", "a\0b", "a" * 300, "a" * 301, "ü" * 300, "\ud800", "\udbff", "🚀"),
    *("%", "%_", "%41lice", "A" * 40, "A" * 41, "\u2028", "\u202e", "x" * 120, "x" * 121),
)


class TestUserFolders:
    def test_no_two_users_share_one(self) -> None:
        folders = [user_folder(name).casefold() for name in HOSTILE_NAMES]
        assert len(set(folders)) == len(HOSTILE_NAMES)

    @pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: ascii(name)[:30])
    def test_it_is_one_plain_name_inside(self, history: History, name: str) -> None:
        made = history.create(name)
        made.append("user", turn="t1", content="hello")
        assert made.path.parent.parent.resolve() == history.directory.resolve()
        assert re.fullmatch(r"[A-Za-z0-9%~_-]{1,120}", made.path.parent.name)
        assert history.conversation(name, made.id).path == made.path

    def test_an_ordinary_name_stays_readable(self) -> None:
        assert user_folder("alice_b-2") == "alice_b-2"

    def test_a_name_made_to_look_like_anothers_hash_gets_its_own(self) -> None:
        for length in range(200, 300):
            name = "x" * length
            digest = hashlib.sha256(name.encode()).hexdigest()
            if re.match("4[1-9]", digest):  # "%41…" is how a name that begins with "A" looks
                assert user_folder(name) != user_folder(chr(int(digest[:2], 16)) + digest[2:])


class TestPrivacy:
    @pytest.mark.usefixtures("no_umask")
    def test_files_and_folders_are_for_us_alone(self, history: History) -> None:
        made = history.create("alice")
        made.append("user", turn="t1", durable=True)
        modes = [stat.S_IMODE(p.stat().st_mode) for p in (made.path, *made.path.parents[:2])]
        assert modes == [0o600, 0o700, 0o700]

    def test_a_conversation_of_somebody_else_is_not_found(
        self, history: History, conversation: Conversation
    ) -> None:
        assert history.conversation("alice", conversation.id).id == conversation.id
        for other in ("bob", "Alice", "", "../alice"):
            with pytest.raises(ConversationNotFound):
                history.conversation(other, conversation.id)

    def test_the_unknown_and_the_foreign_look_alike(
        self, history: History, conversation: Conversation
    ) -> None:
        with pytest.raises(ConversationNotFound) as foreign:
            history.conversation("bob", conversation.id)
        with pytest.raises(ConversationNotFound) as unknown:
            history.conversation("bob", "0" * 12)
        assert str(foreign.value) == str(unknown.value)


def put_link(path: Path) -> None:
    target = path.with_name("foreign.txt")
    target.write_text('{"role":"user","content":"foreign"}\n')
    path.symlink_to(target)


STAND_INS: dict[str, Callable[[Path], None]] = {
    "a link": put_link,
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("put", STAND_INS.values(), ids=STAND_INS)
@pytest.mark.timeout(5)
class TestStandIns:
    """Something else in the place of a conversation's file, after it was handed out."""

    def test_it_is_not_found(
        self, history: History, conversation: Conversation, put: Callable[[Path], None]
    ) -> None:
        conversation.path.unlink()
        put(conversation.path)
        with pytest.raises(ConversationNotFound):
            history.conversation("alice", conversation.id)

    def test_it_is_not_read(self, conversation: Conversation, put: Callable[[Path], None]) -> None:
        conversation.path.unlink()
        put(conversation.path)
        with pytest.raises(ConversationNotFound):
            list(conversation.records())
        with pytest.raises(ConversationNotFound):
            list(conversation.backwards())
        with pytest.raises(ConversationNotFound):
            conversation.tail(max_bytes=1000)

    def test_it_is_not_written_to(
        self, conversation: Conversation, put: Callable[[Path], None]
    ) -> None:
        conversation.path.unlink()
        put(conversation.path)
        with pytest.raises(StorageFailed):
            conversation.append("user", turn="t1", content="mine")
        foreign = conversation.path.with_name("foreign.txt")
        assert not foreign.exists() or "mine" not in foreign.read_text()


class TestReading:
    def test_backwards_begins_with_the_newest(self, conversation: Conversation) -> None:
        for number in range(10):
            conversation.append("user", turn="t1", content=number)
        assert [r["content"] for r in conversation.backwards()] == list(range(9, -1, -1))

    def test_an_empty_conversation_has_no_records(self, conversation: Conversation) -> None:
        assert list(conversation.records()) == []
        assert list(conversation.backwards()) == []
        assert conversation.turn("t1") == ()
        tail = conversation.tail(max_bytes=1000)
        assert (tail.records, tail.is_whole) == ((), True)

    def test_a_turn_is_its_records_and_later_ones_that_belong_to_it(
        self, conversation: Conversation
    ) -> None:
        for turn in ("t1", "t2"):
            conversation.append("user", turn=turn)
            conversation.append("tool", turn=turn)
            conversation.append("assistant", turn=turn)
        conversation.append("action", turn="t1", phase="done")
        roles = [record["role"] for record in conversation.turn("t1")]
        assert roles == ["user", "tool", "assistant", "action"]
        assert len(conversation.turn("t2")) == 3
        assert conversation.turn("t3") == ()

    def test_the_tail_begins_with_a_question(self, conversation: Conversation) -> None:
        for number in range(20):
            conversation.append("user", turn=f"t{number}", content="x" * 500)
            conversation.append("assistant", turn=f"t{number}", content="y" * 500)
        tail = conversation.tail(max_bytes=5000)
        assert not tail.is_whole
        assert tail.records[0]["role"] == "user"
        assert tail.records == tuple(conversation.records())[-len(tail.records) :]
        assert 2 <= len(tail.records) <= 6

    def test_a_tail_that_holds_everything_is_whole(self, conversation: Conversation) -> None:
        conversation.append("assistant", turn="t1")
        conversation.append("user", turn="t2")
        tail = conversation.tail(max_bytes=conversation.path.stat().st_size)
        assert tail.is_whole
        assert tail.records == tuple(conversation.records())

    def test_a_turn_longer_than_the_tail_is_left_out(self, conversation: Conversation) -> None:
        conversation.append("user", turn="t1", content="x" * 5000)
        conversation.append("assistant", turn="t1", content="y" * 5000)
        assert conversation.tail(max_bytes=1000).records == ()

    def test_the_end_is_read_without_the_beginning(self, conversation: Conversation) -> None:
        with conversation.path.open("wb") as file:
            file.truncate(1_000_000_000)  # a hole: nothing that reads it all ends in time
        with conversation.path.open("ab") as file:
            file.write(b'\n{"role":"user","turn":"t8"}\n')
        conversation.append("user", turn="t9", content="new")
        assert next(conversation.backwards())["content"] == "new"
        assert len(conversation.turn("t9")) == 1
        assert len(conversation.tail(max_bytes=10_000).records) == 2
