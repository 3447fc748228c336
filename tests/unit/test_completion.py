"""Every shape in which servers send text, tool calls and usage comes out as one completion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.services.completion import Accumulator, Completion, ToolCall, Usage

JSON = dict[str, Any]
READ = ("read_file", {"path": "a"})
SEARCH = ("search_files", {"pattern": "b"})
LIST: tuple[str, JSON] = ("list_files", {})


def chunk(delta: object = None, finish: object = None, **more: object) -> JSON:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def text(content: object) -> JSON:
    return chunk({"content": content})


def calls(*deltas: JSON) -> JSON:
    return chunk({"tool_calls": list(deltas)})


def call(name: str | None = None, arguments: object = None, **more: object) -> JSON:
    function = {"name": name, "arguments": arguments}
    return {"function": {k: v for k, v in function.items() if v is not None}, **more}


END = chunk({}, "tool_calls")


def completed(*chunks: JSON) -> Completion:
    answer = Accumulator()
    for one in chunks:
        answer.add(one)
    return answer.completion()


def asked(completion: Completion) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in completion.calls]


class TestText:
    def test_it_is_put_together(self) -> None:
        done = completed(
            chunk({"role": "assistant", "content": ""}, model="m-1"),
            text("Hello"),
            text(" there"),
            chunk({}, "stop"),
        )
        assert (done.text, done.calls, done.finish, done.model) == (
            "Hello there",
            (),
            "stop",
            "m-1",
        )

    def test_each_chunk_gives_its_piece(self) -> None:
        answer = Accumulator()
        assert [answer.add(c) for c in (text("a"), text(""), END, text("b"))] == ["a", "", "", "b"]

    @pytest.mark.parametrize(
        "odd",
        [
            {},
            {"choices": []},
            {"choices": None},
            {"choices": "none"},
            {"choices": [None, 7, []]},
            {"choices": [{}]},
            chunk(None),
            chunk("text"),
            chunk({}),
            text(None),
            text(["not", "text"]),
            chunk({"tool_calls": None}),
            chunk({"tool_calls": {}}),
            calls({}),
            chunk({"tool_calls": [None, 7]}),
            chunk({"tool_calls": [{"index": 0, "function": None}]}),
            {"usage": None},
            {"usage": 7, "model": None},
            {"object": "ping"},
        ],
        ids=json.dumps,
    )
    def test_what_brings_nothing_changes_nothing(self, odd: JSON) -> None:
        done = completed(text("a"), odd, text("b"), chunk({}, "stop"))
        assert (done.text, done.calls, done.finish) == ("ab", (), "stop")

    def test_a_role_in_every_chunk_is_ignored(self) -> None:
        pieces = [chunk({"role": "assistant", "content": c}) for c in "abc"]
        assert completed(*pieces).text == "abc"

    @pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
    def test_thoughts_are_neither_text_nor_calls(self, key: str) -> None:
        thought = '<action type="issue-create">{"title":"x"}</action>'
        done = completed(chunk({"content": None, key: thought}), text("Done."), chunk({}, "stop"))
        assert (done.text, done.calls) == ("Done.", ())

    def test_a_finish_reason_in_the_middle_ends_nothing(self) -> None:
        done = completed(chunk({}, "stop"), text("after"), chunk({}, "stop"))
        assert (done.text, done.finish) == ("after", "stop")


class TestFinish:
    @pytest.mark.parametrize(
        ("reasons", "finish"),
        [
            ([None, "stop"], "stop"),
            (["stop", None], "stop"),
            (["stop", ""], "stop"),
            (["eos"], "eos"),
            (["end_turn"], "end_turn"),
            (["length"], "length"),
            (["content_filter"], "content_filter"),
            ([None], ""),
            ([""], ""),
            ([], ""),
            ([7], ""),
        ],
    )
    def test_the_last_reason_that_says_something_counts(
        self, reasons: list[object], finish: str
    ) -> None:
        assert completed(text("a"), *(chunk({}, reason) for reason in reasons)).finish == finish

    def test_an_answer_without_a_choice_has_not_begun(self) -> None:
        answer = Accumulator()
        odd: list[JSON] = [{}, {"choices": []}, {"choices": None}, {"usage": {"prompt_tokens": 1}}]
        for one in odd:
            answer.add(one)
        assert not answer.has_begun
        answer.add(chunk(None))
        assert answer.has_begun


SHAPES: dict[str, tuple[list[JSON], list[tuple[str, JSON]]]] = {
    "OpenAI, in pieces": (
        [
            calls(call("read_file", "", index=0, id="c1", type="function")),
            calls(call(arguments='{"pa', index=0)),
            calls(call(arguments='th": "a"}', index=0)),
        ],
        [READ],
    ),
    "OpenAI, two at once": (
        [
            calls(call("read_file", "", index=0, id="c1")),
            calls(call(arguments='{"path": "a"}', index=0)),
            calls(call("search_files", "", index=1, id="c2")),
            calls(call(arguments='{"pattern": "b"}', index=1)),
        ],
        [READ, SEARCH],
    ),
    "two at once, interleaved by index": (
        [
            calls(
                call("read_file", '{"path"', index=0, id="c1"),
                call("search_files", '{"pattern"', index=1, id="c2"),
            ),
            calls(call(arguments=': "a"}', index=0), call(arguments=': "b"}', index=1)),
        ],
        [READ, SEARCH],
    ),
    "whole in one chunk": (
        [calls(call("read_file", '{"path": "a"}', index=0, id="c1"))],
        [READ],
    ),
    "arguments as an object": (
        [calls(call("read_file", {"path": "a"}, index=0, id="c1"))],
        [READ],
    ),
    "no index, ids (Gemini)": (
        [
            calls(call("read_file", '{"path": "a"}', id="c1")),
            calls(call("search_files", '{"pattern": "b"}', id="c2")),
        ],
        [READ, SEARCH],
    ),
    "no index, ids in every piece, interleaved": (
        [
            calls(call("read_file", '{"path"', id="c1"), call("search_files", "{", id="c2")),
            calls(call(arguments=': "a"}', id="c1")),
            calls(call(arguments='"pattern": "b"}', id="c2")),
        ],
        [READ, SEARCH],
    ),
    "no index, pieces without an id": (
        [
            calls(call("read_file", "", id="c1")),
            calls(call(arguments='{"path": "a"}')),
            calls(call("search_files", "", id="c2")),
            calls(call(arguments='{"pattern": "b"}')),
        ],
        [READ, SEARCH],
    ),
    "no index, no id": (
        [
            calls(call("read_file", "")),
            calls(call(arguments='{"path"')),
            calls(call(arguments=': "a"}')),
            calls(call("search_files", '{"pattern": "b"}')),
        ],
        [READ, SEARCH],
    ),
    "no index, no id, both in one chunk": (
        [calls(call("read_file", {"path": "a"}), call("search_files", {"pattern": "b"}))],
        [READ, SEARCH],
    ),
    "no index, no id, the same tool twice": (
        [calls(call("read_file", {"path": "a"})), calls(call("read_file", {"path": "a"}))],
        [READ, READ],
    ),
    "no index, no id, no arguments": (
        [calls(call("list_files", "")), calls(call("read_file", '{"path": "a"}'))],
        [LIST, READ],
    ),
    "all at index 0, ids differ (LiteLLM)": (
        [
            calls(call("read_file", '{"path": "a"}', index=0, id="c1")),
            calls(call("search_files", '{"pattern": "b"}', index=0, id="c2")),
        ],
        [READ, SEARCH],
    ),
    "all at index 0, in pieces": (
        [
            calls(call("read_file", "", index=0, id="c1")),
            calls(call(arguments='{"path": "a"}', index=0)),
            calls(call("search_files", "", index=0, id="c2")),
            calls(call(arguments='{"pattern": ', index=0)),
            calls(call(arguments='"b"}', index=0)),
        ],
        [READ, SEARCH],
    ),
    "all at index 0, no id": (
        [
            calls(call("read_file", '{"path": "a"}', index=0)),
            calls(call("search_files", '{"pattern": "b"}', index=0)),
        ],
        [READ, SEARCH],
    ),
    "index and empty id in later pieces (vLLM)": (
        [
            calls(call("read_file", "", index=0, id="c1")),
            calls(call("", '{"path": "a"}', index=0, id="")),
            calls({"index": 0, "id": None, "function": {"name": None, "arguments": ""}}),
        ],
        [READ],
    ),
    "id and name in every piece": (
        [
            calls(call("read_file", '{"path"', index=0, id="c1")),
            calls(call("read_file", ': "a"}', index=0, id="c1")),
            calls(call("read_file", "", index=0, id="c1")),
        ],
        [READ],
    ),
    "two calls under one id": (
        [
            calls(call("list_files", "", index=0, id="c1")),
            calls(call("read_file", '{"path": "a"}', index=1, id="c1")),
        ],
        [LIST, READ],
    ),
    "indexes from 1 and with gaps": (
        [
            calls(call("read_file", '{"path": "a"}', index=1, id="c1")),
            calls(call("search_files", '{"pattern": "b"}', index=5, id="c2")),
        ],
        [READ, SEARCH],
    ),
    "an index that is no number": (
        [
            calls(call("read_file", '{"path"', index="0")),
            calls(call(arguments=': "a"}', index="0")),
        ],
        [READ],
    ),
    "no arguments at all": ([calls(call("list_files", index=0, id="c1"))], [LIST]),
    "a call without a name": ([calls(call(arguments='{"path": "a"}', index=0, id="c1"))], []),
}


class TestCalls:
    @pytest.mark.parametrize(("chunks", "expected"), SHAPES.values(), ids=SHAPES)
    def test_every_shape_is_understood(
        self, chunks: list[JSON], expected: list[tuple[str, JSON]]
    ) -> None:
        done = completed(chunk({"role": "assistant", "content": None}), *chunks, END)
        assert asked(done) == expected
        ids = [call.id for call in done.calls]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        for one in done.calls:
            assert one.raw["id"] == one.id
            assert one.raw["type"] == "function"
            assert one.raw["function"] == {"name": one.name, "arguments": one.arguments}

    @pytest.mark.parametrize(("chunks", "expected"), SHAPES.values(), ids=SHAPES)
    def test_text_before_and_between_does_not_matter(
        self, chunks: list[JSON], expected: list[tuple[str, JSON]]
    ) -> None:
        mixed = [one for c in chunks for one in (text("."), c)]
        done = completed(*mixed, chunk({}, "stop"))
        assert asked(done) == expected
        assert done.text == "." * len(chunks)

    def test_an_id_is_kept(self) -> None:
        done = completed(calls(call("read_file", "{}", index=0, id="abcDEF123")))
        assert done.calls[0].id == "abcDEF123"

    def test_what_a_server_wants_back_goes_back(self) -> None:
        signed = {"google": {"thought_signature": "c2ln"}}
        done = completed(
            calls(call("read_file", '{"path"', index=0, id="c1", extra_content=signed)),
            calls(call(arguments=': "a"}', index=0, x=1)),
        )
        assert done.calls[0].raw == {
            "id": "c1",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path": "a"}'},
            "extra_content": signed,
            "x": 1,
        }

    @pytest.mark.parametrize("arguments", ['{"path": ', "[" * 100_000, "null", '{"a":1}{"b":2}'])
    def test_arguments_that_are_no_object_come_out_as_they_are(self, arguments: str) -> None:
        done = completed(calls(call("read_file", arguments, index=0, id="c1")), END)
        assert done.calls == (ToolCall("c1", "read_file", arguments, done.calls[0].raw),)

    def test_endless_brackets_do_not_hide_the_next_call(self) -> None:
        brackets = calls(call("read_file", "[" * 100_000))
        done = completed(brackets, brackets, calls(call("search_files", {"pattern": "b"})))
        assert [call.name for call in done.calls] == ["read_file", "search_files"]

    def test_they_count_into_the_size_of_the_answer(self) -> None:
        answer = Accumulator()
        answer.add(text("four"))
        answer.add(calls(call("read_file", '{"a":', index=0), call(arguments="1}", index=0)))
        assert answer.size == 4 + 7


class TestUsage:
    def test_it_is_what_the_server_counted(self) -> None:
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4},
        }
        done = completed(text("a"), {"choices": [], "usage": usage})
        assert done.usage == Usage(input_tokens=10, cached_tokens=4, output_tokens=3)

    def test_the_last_one_wins(self) -> None:
        grown = [chunk({}, usage={"prompt_tokens": 9, "completion_tokens": n}) for n in (1, 2, 3)]
        assert completed(*grown, chunk({}, usage=None)).usage == Usage(9, None, 3)

    def test_none_is_unknown_and_not_zero(self) -> None:
        assert completed(text("a")).usage == Usage(None, None, None)

    @pytest.mark.parametrize("odd", [-1, 10**9, 1.5, "7", True, None, [1]])
    def test_a_count_that_cannot_be_is_unknown(self, odd: object) -> None:
        usage = {"prompt_tokens": odd, "prompt_tokens_details": {"cached_tokens": odd}}
        done = completed({"usage": {**usage, "completion_tokens": 5}})
        assert done.usage == Usage(None, None, 5)

    @pytest.mark.parametrize("details", [None, 7, [], {}])
    def test_details_may_be_anything(self, details: object) -> None:
        usage = {"prompt_tokens": 1, "prompt_tokens_details": details}
        assert completed({"usage": usage}).usage == Usage(1, None, None)

    def test_sums_keep_what_is_known(self) -> None:
        assert Usage(1, None, 3) + Usage(2, 5, None) == Usage(3, 5, 3)
        assert Usage() + Usage() == Usage()
