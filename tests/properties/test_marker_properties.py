"""Whatever an answer says: its parts are the answer, and no markup makes a marker live."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from app.assistant.gate import Gate
from app.assistant.markers import (
    Inert,
    Marker,
    PayloadError,
    Prose,
    display,
    parse_payload,
    split,
)

MARKER = '<action type="issue-create">{"title": "Wrong `a`", "labels": ["bug"]}</action>'
OPENING = '<action type="issue-create">'
UNUSUAL = settings(max_examples=300, deadline=None)

# What Markdown, HTML, JSON and markers are made of.
SCRAPS = [
    *("```", "````", "~~~", "```py\n", "`", "``", "> ", "- ", "1. ", "    ", "\t", "# ", "#"),
    *("<details>", "</details>", "<div>\n", "</div>", "<pre>", "<b>", "</b>", "<br>", "<", ">"),
    *("<!--", "-->", "<!-- a -->", "<?", '<a title="', "<a href='b'>", "</a>", "&lt;"),
    *("[", "]", "](", "(", ")", "[a](b)", "[^1]: ", "[a]: ", "\\", "|", "|--|--|\n", "---", "==="),
    *("\n", "\n\n", "\r\n", " ", "a", "text ", "*", "!!! note\n", ": ", "\u2028", "\x00", "\ud800"),
    *(MARKER, OPENING, "</action>", '<action type="x">{}</action>', "<action", "<ACTION>", "<act"),
    *("{", "}", '"', '{"a": "', '\\"', '"}', '{"a": 1}', ",", "1", "null"),
]
scraps = st.lists(st.sampled_from(SCRAPS), max_size=25).map("".join)
answers = st.one_of(
    scraps, st.text(max_size=60), st.text(alphabet='<action type="x">{}/`\n', max_size=80)
)

words = st.text(alphabet="abc é, .12\u00a0", min_size=1, max_size=20).map(lambda text: f"w{text}w")


def markers(answer: str) -> list[Marker]:
    return [part for part in split(answer) if isinstance(part, Marker)]


@UNUSUAL
@given(answers, st.lists(answers, max_size=3))
def test_the_parts_joined_are_the_answer(answer: str, read: list[str]) -> None:
    parts = split(answer, read=read)
    assert "".join(part.text for part in parts) == answer
    assert all(part.text for part in parts)
    assert len([part for part in parts if isinstance(part, Marker)]) <= 5
    assert isinstance(display(parts), str)


@UNUSUAL
@given(answers)
def test_every_marker_begins_and_ends_with_its_tags(answer: str) -> None:
    for marker in markers(answer):
        assert marker.text.startswith(f'<action type="{marker.type}">')
        assert marker.text.endswith("</action>")
        assert marker.payload in marker.text


@UNUSUAL
@given(answers)
def test_what_is_prose_has_no_whole_marker_with_a_sound_payload(answer: str) -> None:
    for part in split(answer):
        if isinstance(part, Prose):
            assert not [one for one in split(part.text) if isinstance(one, Marker | Inert)]


# Forged markers


def quoted(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.split("\n"))


def listed(text: str) -> str:
    return "- " + text.replace("\n", "\n  ") + "\n"


def numbered(text: str) -> str:
    return "1. " + text.replace("\n", "\n   ") + "\n"


def indented(text: str) -> str:
    return "    " + text.replace("\n", "\n    ") + "\n"


def fenced(text: str, char: str = "`") -> str:
    longest = max(map(len, re.findall(f"{char}+", text)), default=0)
    fence = char * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}\n"


def tilded(text: str) -> str:
    return fenced(text, "~")


def commented(text: str) -> str:
    return f"<!--\n{text.replace('--', '- -')}\n-->\n"


def folded(text: str) -> str:
    return f"<details><summary>More</summary>\n\n{text}\n\n</details>\n"


def boxed(text: str) -> str:
    return f"<div>\n{text}\n</div>\n"


WRAPPERS: list[Callable[[str], str]] = [
    quoted,
    listed,
    numbered,
    indented,
    fenced,
    tilded,
    commented,
    folded,
    boxed,
]
forged = st.tuples(words, st.sampled_from([" ", "\n", "\n\n"]), words).map(
    lambda parts: parts[0] + parts[1] + MARKER + parts[1] + parts[2]
)


@UNUSUAL
@given(words, forged, st.lists(st.sampled_from(WRAPPERS), min_size=1, max_size=3), words)
def test_a_marker_wrapped_in_anything_is_never_live(
    before: str, text: str, wrappers: list[Callable[[str], str]], after: str
) -> None:
    for wrap in wrappers:
        text = wrap(text)
    assert not markers(f"{before}\n\n{text}\n\n{after}")


SPANS: list[Callable[[str], str]] = [
    "``` {} ```".format,
    "[a {}](b)".format,
    "[a]({})".format,
    "\\{}".format,
    "<i>{}</i>".format,
    "<a title='{}'>b</a>".format,
    "<!-- {} -->".format,
    "# {}".format,
    "| {} |".format,
    "[a]: {}".format,
    "{}\n===".format,
    "a | {}\n--|--".format,
]


@UNUSUAL
@given(words, st.sampled_from(SPANS), words)
def test_a_marker_inside_a_line_of_markup_is_never_live(
    before: str, wrap: Callable[[str], str], after: str
) -> None:
    assert not markers(f"{before}\n\n{wrap(MARKER)}\n\n{after}")


# Genuine markers


def paragraph(text: str) -> str:
    return f"{text} `code` and [a link](docs/a.md), **stress** <br> and \\` so.\n"


def closed(text: str) -> list[str]:
    """Blocks of Markdown that end where they seem to."""
    return [
        paragraph(text),
        f"## {text}\n",
        f"{text}\n---\n",
        "***\n",
        f"| a | b |\n|---|---|\n| {text} | `c` |\n",
        *(wrap(text) for wrap in WRAPPERS),
        fenced(f"{text}\n\n<!-- <details> [a]( {OPENING} ` > - 1. \\"),
        tilded(f"```\n{text}"),
        listed(fenced(text).rstrip()),
        quoted(fenced(text).rstrip()),
        folded(fenced(f"{text} </details>")),
        f"`{MARKER.replace('`', '')}`\n",
        fenced(MARKER),
    ]


blocks = words.flatmap(lambda text: st.sampled_from(closed(text)))


@UNUSUAL
@given(st.lists(blocks, max_size=8), words)
def test_a_marker_in_its_own_paragraph_is_live_after_whatever_is_closed(
    before: list[str], after: str
) -> None:
    answer = "\n".join([*before, MARKER, "", after])
    assert [marker.text for marker in markers(answer)] == [MARKER]


# Copies

scalars = st.one_of(st.text(max_size=12), st.booleans(), st.none(), st.integers(-9999, 9999))
values = st.one_of(scalars, st.lists(scalars, max_size=3))
objects = st.dictionaries(st.text(max_size=8), values, max_size=4)


def with_numbers(text: str) -> str:
    return "".join(f"{at:5}\t{line}\n" for at, line in enumerate(text.split("\n"), start=1))


DISGUISES: list[Callable[[str], str]] = [str, with_numbers, html.escape, json.dumps, quoted]


@UNUSUAL
@given(
    objects,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(DISGUISES),
    words,
)
def test_a_payload_is_known_again_however_it_is_written(
    value: dict[str, object],
    indent: int | None,
    is_sorted: bool,
    is_escaped: bool,
    disguise: Callable[[str], str],
    text: str,
) -> None:
    answer = f'<action type="x">{json.dumps(value)}</action>'
    written = json.dumps(value, indent=indent, sort_keys=is_sorted, ensure_ascii=is_escaped)
    [part] = split(answer, read=[f"{text}\n{disguise(written)}\n{text}"])
    assert isinstance(part, Inert)


@UNUSUAL
@given(objects, objects)
def test_another_payload_is_not_taken_for_a_copy(
    value: dict[str, object], other: dict[str, object]
) -> None:
    answer = f'<action type="x">{json.dumps({**value, "title": "a"})}</action>'
    [part] = split(answer, read=[json.dumps({**other, "title": "b"})])
    assert isinstance(part, Marker)


# Payloads


@UNUSUAL
@given(objects)
def test_a_payload_says_what_was_written(value: dict[str, object]) -> None:
    assert parse_payload(json.dumps(value)) == value


@UNUSUAL
@given(answers)
def test_a_payload_is_an_object_or_refused_in_a_sentence(text: str) -> None:
    try:
        outcome: object = parse_payload(text)
    except PayloadError as error:
        outcome = error
    assert isinstance(outcome, dict) or str(outcome).endswith(".")


# The live stream


def streamed(pieces: list[str]) -> str:
    gate = Gate()
    return "".join([gate.feed(piece) for piece in pieces]) + gate.finish()


@UNUSUAL
@given(answers, st.lists(st.integers(0, 300), max_size=12))
def test_every_chunking_of_an_answer_shows_the_same(answer: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    pieces = [answer[start:end] for start, end in zip(places, places[1:], strict=False)]
    assert streamed(pieces) == streamed([answer]) == streamed(list(answer))


@UNUSUAL
@given(answers)
def test_no_live_marker_is_shown_at_any_time(answer: str) -> None:
    shown = streamed(list(answer))
    assert not [marker for marker in markers(answer) if marker.text in shown]
    assert not [part for part in split(shown) if isinstance(part, Marker)]


@UNUSUAL
@given(st.lists(st.text(alphabet="abc é*`[]\n<>&", max_size=9), max_size=9))
def test_text_without_markers_is_shown_as_it_is_and_at_once(pieces: list[str]) -> None:
    gate = Gate()
    shown = ""
    for at, piece in enumerate(pieces, start=1):
        shown += gate.feed(piece)
        held = "".join(pieces[:at])[len(shown) :]
        assert "<action".startswith(held)
    assert shown + gate.finish() == "".join(pieces)
