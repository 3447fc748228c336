"""Action markers: which are live, what becomes of the others, what is shown meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from app.assistant.gate import Gate
from app.assistant.markers import (
    Inert,
    Marker,
    Part,
    PayloadError,
    Prose,
    display,
    parse_payload,
    split,
)

PAYLOAD = '{"title": "Wrong [link]", "body": "See `docs/`", "labels": ["bug"]}'
MARKER = f'<action type="issue-create">{PAYLOAD}</action>'
COPIED = "This was copied from something the assistant read, so it cannot be clicked."
TOO_MANY = "Only five actions are taken from one answer; this is one more."
OTHER = '<action type="ci-run">{"branch": "main"}</action>'


def kinds(answer: str, *read: str) -> list[str]:
    """The parts that are not prose: a type for a live marker, a reason for an inert one."""
    parts = split(answer, read=read)
    assert "".join(part.text for part in parts) == answer
    return [
        part.type if isinstance(part, Marker) else part.reason
        for part in parts
        if not isinstance(part, Prose)
    ]


def markers(answer: str, *read: str) -> list[Marker]:
    return [part for part in split(answer, read=read) if isinstance(part, Marker)]


LIVE = {
    "alone": MARKER,
    "in the middle of a line": f"I propose: {MARKER} What do you think?",
    "at the end of a line": f"I propose:\n{MARKER}\nWhat do you think?",
    "after a blank line": f"I propose:\n\n{MARKER}\n",
    "between carriage returns": f"I propose:\r\n\r\n{MARKER}\r\n",
    "three spaces in": f"   {MARKER}",
    "after what is only a fence in a line": f"``` a ``` {MARKER}",
    "after a fence in an indented line": f"text\n    ```\n\n{MARKER}",
    "after a lone tag in a paragraph": f"text\n<br>\n{MARKER}",
    "right under a comment": f"<!-- a -->\n{MARKER}",
    "in bold": f"**{MARKER}**",
    "after inline code": f"As `docs/a.md` and ``a ` b`` say: {MARKER}",
    "after an escaped backtick": f"The \\` key and \\` again: {MARKER}",
    "after a link": f"As [the docs](docs/a.md) and [b](<x> say: \n\n{MARKER}",
    "after a link with a title": f'As [the docs](docs/a_(b).md "A title") say: {MARKER}',
    "after a lone bracket": f"All of [0, 1): {MARKER}",
    "after an address": f"As <https://example.org/a> says: {MARKER}",
    "after closed inline HTML": f"Press <kbd>Ctrl</kbd><br> {MARKER}",
    "after less-than signs": f"As 1 < 2 and a <- b: {MARKER}",
    "after two backslashes": f"In C:\\\\{MARKER}",
    "under a heading": f"## Proposal\n{MARKER}",
    "under a rule": f"Text\n\n---\n{MARKER}",
    "after a list": f"- one\n- two\n\n{MARKER}",
    "after a list with code in it": f"1. Do:\n\n   ```sh\n   make\n   ```\n\n{MARKER}",
    "after a fence in a bullet": f"- ```sh\n  make\n  ```\n\n{MARKER}",
    "after a quote": f"> one\nlazily\n\n{MARKER}",
    "after a fence in a quote": f"> ```\n> make\n> ```\n\n{MARKER}",
    "after a fence": f"```\n{OTHER}\n```\n{MARKER}",
    "after a longer fence around one": f"````md\n```\nx\n```\n````\n\n{MARKER}",
    "after a fence of tildes around one": f"~~~\n```\n~~~\n\n{MARKER}",
    "after indented code": f"    make\n\n{MARKER}",
    "after a table": f"| a | b |\n|---|---|\n| 1 | 2 |\n\n{MARKER}",
    "after a comment": f"<!-- a\n\nnote -->\n\n{MARKER}",
    "after a comment in a line": f"Text <!-- note --> {MARKER}",
    "after a comment's beginning in code": f"Write `<!--` and `<div>` there.\n\n{MARKER}",
    "after closed details": f"<details>\nLog\n\n```\n</details>\n```\n\n</details>\n\n{MARKER}",
    "after a placeholder in another paragraph": f"Replace <branch-name> first.\n\n{MARKER}",
    "after a footnote": f"[^1]: A note\n    that goes on\n\n{MARKER}",
}


@pytest.mark.parametrize("answer", LIVE.values(), ids=LIVE.keys())
def test_a_marker_in_a_plain_paragraph_is_live(answer: str) -> None:
    assert [marker for marker in markers(answer) if marker.type == "issue-create"] == [
        Marker(MARKER, "issue-create", PAYLOAD)
    ]


def test_a_lone_backtick_or_bracket_before_a_marker_hides_nothing() -> None:
    assert kinds(f"The ` key and all of [0, 1): {OTHER}") == ["ci-run"]


def test_two_markers_in_one_line_are_both_live() -> None:
    assert kinds(f"{MARKER} and {OTHER}") == ["issue-create", "ci-run"]


def test_blank_lines_in_the_json_do_not_end_the_marker() -> None:
    payload = '{\n\n    "title": "a",\n\n    "body": "b"\n}'
    answer = f'Here:\n<action type="issue-create">\n{payload}\n</action> `code` {OTHER}'
    assert [marker.payload for marker in markers(answer)] == [payload, '{"branch": "main"}']


def test_what_stands_in_a_payload_hides_no_other_marker() -> None:
    first = '<action type="x">{"a": "` [ <!-- <b> \\\\"}</action>'
    second = first.replace('"x"', '"y"')
    assert kinds(f"{first} and {second}") == ["x", "y"]


def test_a_marker_over_several_lines_is_live() -> None:
    answer = f'<action type="x">\n{PAYLOAD}\n</action>'
    assert split(answer) == (Marker(answer, "x", PAYLOAD),)


def test_a_paragraph_goes_on_behind_a_marker_with_blank_lines() -> None:
    answer = f'<action type="x">{{\n\n"a": 1}}</action> `{OTHER}`'
    assert kinds(answer) == ["x", "It stands in inline code."]


def test_a_marker_over_several_lines_of_code_is_one() -> None:
    code = '<action type="x">\n\n    {"a":\n\n    1}</action>'
    assert split(f"    {code}") == (Prose("    "), Inert(code, "It stands in indented code."))


def test_a_broken_marker_in_a_list_ends_with_its_paragraph() -> None:
    answer = '- <action type="x">oops\n\ntext</action>'
    assert split(answer) == (Prose(answer),)


def test_a_long_payload_is_read_to_its_end() -> None:
    payload = json.dumps({"a": "x" * 3_000, "b": "</action>" * 1_000})
    assert [marker.payload for marker in markers(f'<action type="x">{payload}</action>')] == [
        payload
    ]


def test_a_closing_tag_in_a_json_string_is_part_of_the_payload() -> None:
    payload = '{"body": "ends with </action> here"}'
    [marker] = markers(f'a <action type="x">{payload} </action> b')
    assert marker.payload == payload


INERT = {
    "code block": "```\n{}\n```",
    "code block with a language": "```html\n{}\n```",
    "code block of tildes": "~~~\n{}\n~~~",
    "code block three spaces in": "   ```\n{}\n   ```",
    "code block that is never closed": "```\n\ntext\n\n{}",
    "code block after a paragraph": "text\n```\n{}\n```",
    "code block with a longer fence": "````\n```\n{}\n```\n````",
    "code block closed by the other fence": "```\n~~~\n{}",
    "code block closed by a shorter fence": "`````\n```\n{}",
    "code block closed too far in": "```\n    ```\n{}",
    "code block closed by too long a fence": "```\ncode\n`````\n\n{}",
    "code block in a list": "- a\n\n  ```\n  {}\n  ```",
    "code block in a list that is never closed": "- a\n  ```\n  code\n\n{}",
    "code block in a quote": "> ```\n> {}\n> ```",
    "code block in a quote that is never closed": "> ```\n> code\n\n{}\n\n> ```",
    "code block of an ordered list": "10. ```\n    {}\n    ```",
    "code block in a list that is closed outside of it": "- ```\n  a\n\ntext\n\n  ```\n\n{}",
    "code block deep in a list that is never closed": "- a\n\n    ```\n    code\n\n{}",
    "item, second paragraph, after code": "- ```\n  code\n  ```\n\n  {}",
    "indented code": "text\n\n    {}",
    "indented code at the start": "    {}",
    "indented code with a tab": "\t{}",
    "indented code after blank lines": "    a\n\n\n    {}",
    "indented line of a paragraph": "text\n    {}",
    "inline code": "a `{}` b",
    "inline code in double backticks": "a ``x ` {}`` b",
    "inline code over two lines": "a `b\n{} c` d",
    "inline code over a blockish line": "a ` b\n2. c {} `",
    "inline code by a part of a run": "a ``{}` b",
    "inline code that begins in a tag": 'a <i title="`">b</i> {} ` c',
    "inline code with a tag in it that a heading ends": "a ` <div>\n# b `\n\n{}",
    "inline code with a tag in it that a fence ends": "a ``` <div>\n```\ncode\n```\n\n{}",
    "quote": "> {}",
    "quote within a paragraph": "text\n> {}",
    "quote without a space": ">{}",
    "quote, lazily": "> text\n{}",
    "quote, lazily, later": "> text\nmore\n{}",
    "quote, lazily, under a heading": "> text\n# heading\n{}",
    "bullet": "- {}",
    "bullet with a star": "* {}",
    "bullet with a plus": "+ {}",
    "numbered item": "1. {}",
    "numbered item with a bracket": "12) {}",
    "numbered item in a paragraph": "text\n7. {}",
    "task": "- [ ] {}",
    "item, lazily": "- text\n{}",
    "item, second paragraph": "- text\n\n  {}",
    "item, second paragraph, deeper": "1. text\n\n    {}",
    "item, second paragraph, hardly further in": "1. text\n\n {}",
    "item of an item": "- a\n  - {}",
    "comment": "<!-- {} -->",
    "comment over paragraphs": "<!--\n\n{}\n\n-->",
    "comment that is never closed": "text\n\n<!-- a\n\n{}",
    "comment in a line": "text <!-- {} --> text",
    "comment in a line that is closed later": "text <!-- a\n\n{}\n\n-->",
    "comment in a line that is closed in code": "text <!--\n```\n-->\n\n{}\n\n```",
    "comment in an item that is closed in code": "- a\n\n  <!--\n\n```\n-->\n\n{}\n\n```",
    "comment that closes at once for some": "<!-->\n\n```\n-->\n\n{}\n\n```",
    "comment within which some see none": "a <!-- -- <b> -->\n\n{}",
    "rest of a comment's line": "<!-- a --> {}",
    "processing instruction": "<?php {} ?>",
    "character data": "<![CDATA[\n\n{}\n\n]]>",
    "link text": "[{}](https://example.org)",
    "link text by reference": "[{}][docs]",
    "image text": "![{}](a.png)",
    "link destination": "[docs]({})",
    "link destination in angle brackets": "[docs](<a {}>)",
    "link title": '[docs](a.md "title) {}")',
    "link definition": "[docs]: {}",
    "abbreviation": "*[HTML]: {}",
    "attribute": "<a title='{}'>text</a>",
    "inline element": "<b>text {}</b>",
    "inline element over paragraphs": "<b>\n\n{}\n\n</b>",
    "inline element that is never closed": "text <b>\n\n{}",
    "tag that is never closed": "text <a {} > text",
    "element of an unknown name": "<x-note>text {}</x-note>",
    "element of an unknown name that is never closed": "text <x-note> {}",
    "element of an unknown name in capitals": "<x-note>\n\n{}\n\n</X-NOTE>",
    "element of an unknown name over paragraphs": "<x-note>\n\n{}\n\n</x-note>",
    "div": "<div>\n{}\n</div>",
    "div in one line": "<div>{}</div>",
    "div over paragraphs": "<div>\n\n{}\n\n</div>",
    "div in a div": "<div>\n<div>\n</div>\n\n{}\n\n</div>",
    "details": "<details><summary>More</summary>\n\n{}\n\n</details>",
    "details that are never closed": "<details>\n\ntext\n\n{}",
    "details closed in code": "<details>\n\n`</details>`\n\n{}\n\n</details>",
    "details in a line": "text <details>\n\n{}\n\n</details>",
    "pre": "<pre>\n{}\n</pre>",
    "pre in capitals": "<PRE>\n\n{}\n\n</PRE>",
    "script": "<script>\n\n{}\n\n</script>",
    "rest of an HTML block": "<hr>\n{}",
    "rest of a lone tag's block": "<br>\n{}",
    "element in backticks in an HTML block": "<hr> `<div>`\n\n{}",
    "element behind a backslash in an HTML block": "<hr> \\<div>\n\n{}",
    "half a tag in an HTML block": '<hr>\n<a title="\n\n{}\n\n">',
    "half a tag under a number sign in an HTML block": '<hr>\n# a\n<a title="\n\n{}',
    "code block that begins in an HTML block": "<hr>\n```\n\ncode\n```\n\n{}",
    "fence in an HTML block": "<hr>\n```\n\n{}\n\n```",
    "backslash": "\\{}",
    "table": "| a |\n|---|\n| {} |",
    "table's head": "a | {}\n--|--\nb | c",
    "table row without bars at its ends": "a | b\n:-:|:-:\nc | {}",
    "line with a bar in front": "text\n| {} |",
    "heading": "# {}",
    "heading of level six": "###### {} ######",
    "heading without a space": "#{}",
    "underlined heading": "{}\n===",
    "underlined heading, two lines": "text {}\ntext\n---",
    "underlined heading with a stray tag": "{}\n</pre> text\n---",
    "underlined heading with half a definition": "{}\n[docs]:\n---",
    "footnote": "[^1]: {}",
    "footnote, second paragraph": "[^1]: text\n\n    {}",
    "definition": "Term\n: {}",
    "defined term": "{}\n: text",
    "defined term before a blank line": "{}\n\n: text",
    "admonition": "!!! note\n    {}",
    "admonition's title": "!!! note {}",
    "collapsible": "??? note\n    {}",
}


@pytest.mark.parametrize("template", INERT.values(), ids=INERT.keys())
def test_a_marker_in_any_other_place_is_inert(template: str) -> None:
    answer = template.replace("{}", MARKER)
    assert not markers(answer)
    assert MARKER in "".join(part.text for part in split(answer) if isinstance(part, Inert))


@pytest.mark.parametrize(
    "template",
    [template for name, template in INERT.items() if "rest" not in name and "some" not in name],
)
def test_carriage_returns_make_no_difference(template: str) -> None:
    answer = template.replace("{}", MARKER)
    assert kinds(answer.replace("\n", "\r\n")) == kinds(answer)
    assert kinds(answer.replace("\n", "\r")) == kinds(answer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (f"```\n{MARKER}\n```", "It stands in a code block."),
        (f"`{MARKER}`", "It stands in inline code."),
        (f"> {MARKER}", "It stands in a quote."),
        (f"- {MARKER}", "It stands in a list."),
        (f"| {MARKER} |", "It stands in a table."),
        (f"{MARKER}\n---", "It stands in a heading."),
        (f"<!-- {MARKER} -->", "It stands in an HTML comment."),
        (f"<div>{MARKER}</div>", "It stands inside an HTML element."),
        (f"<br title='{OTHER}'>", "It stands inside an HTML element."),
        (f"[{MARKER}](a.md)", "It stands in a link."),
        (f"\\{MARKER}", "It is written with a backslash, as text."),
    ],
)
def test_an_inert_marker_says_where_it_stands(answer: str, reason: str) -> None:
    assert kinds(answer) == [reason]


TEXT = {
    "capitals": MARKER.replace("<action", "<ACTION"),
    "a type in capitals": MARKER.replace("issue-create", "Issue-Create"),
    "single quotes": MARKER.replace('"issue-create"', "'issue-create'"),
    "no quotes": MARKER.replace('"issue-create"', "issue-create"),
    "two spaces": MARKER.replace("<action type", "<action  type"),
    "a space before the bracket": MARKER.replace('">', '" >'),
    "another attribute": MARKER.replace('">', '" id="1">'),
    "no attribute": MARKER.replace(' type="issue-create"', ""),
    "an empty type": MARKER.replace("issue-create", ""),
    "a type that begins with a digit": MARKER.replace("issue-create", "1-create"),
    "a type of 42 letters": MARKER.replace("issue-create", "a" * 42),
    "a space before the name": MARKER.replace("<action", "< action"),
    "a line break in the tag": MARKER.replace("<action type", "<action\ntype"),
    "no closing tag": MARKER.removesuffix("</action>"),
    "half a closing tag": MARKER.removesuffix("ion>"),
    "a closing tag in capitals": MARKER.replace("</action>", "</ACTION>"),
    "half an opening tag": '<action type="issue-cre',
    "only an opening tag": '<action type="issue-create">',
    "only a closing tag": "</action>",
    "nothing": "",
}


@pytest.mark.parametrize("answer", TEXT.values(), ids=TEXT.keys())
def test_what_is_not_exactly_a_marker_is_text(answer: str) -> None:
    assert split(answer) == ((Prose(answer),) if answer else ())


def test_a_type_of_41_letters_is_a_type() -> None:
    assert kinds(OTHER.replace("ci-run", "a" * 41)) == ["a" * 41]


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("{'title': 'a'}", "{'title': 'a'}"),
        ('{"body": "two\nlines"}', '{"body": "two\nlines"}'),
        ('{"a": 1} and more', '{"a": 1} and more'),
        ('{"a": "</action>"} and more', '{"a": "</action>"} and more'),
        (" oops\n", "oops"),
        ('{"a": 1}\u00a0', '{"a": 1}\u00a0'),
        ("two\r\nlines\rmore", "two\r\nlines\rmore"),
        ("", ""),
        ("[" * 5_000, "[" * 5_000),
        ("[" + "9" * 5_000, "[" + "9" * 5_000),
    ],
    ids=[
        "quotes",
        "line break",
        "more",
        "more after a string",
        "a word",
        "hard blank",
        "carriage returns",
        "empty",
        "deep",
        "long",
    ],
)
def test_a_marker_with_a_broken_payload_is_still_a_marker(text: str, payload: str) -> None:
    answer = f'before <action type="x">{text}</action> after'
    assert split(answer)[1:] == (
        Marker(answer[7:-6], "x", payload),
        Prose(" after"),
    )


def test_a_marker_within_a_marker_is_part_of_its_broken_payload() -> None:
    assert [part.payload for part in markers(f'<action type="x">{MARKER}</action>')] == [
        f'<action type="issue-create">{PAYLOAD}'
    ]


def test_a_broken_marker_does_not_hide_the_code_that_begins_in_it() -> None:
    answer = f'<action type="x">oops\n\n```\n</action>\n\n{MARKER}\n\n```'
    assert kinds(answer) == ["x", "It stands in a code block."]
    assert kinds(f'<action type="x">oops\n```\n{OTHER}\n```') == ["x"]


def test_five_markers_are_live_and_the_rest_is_inert() -> None:
    found = kinds("\n\n".join([MARKER] * 50))
    assert found[:5] == ["issue-create"] * 5
    assert set(found[5:]) == {TOO_MANY}
    assert len(found) == 50


def test_only_twenty_markers_are_compared_and_the_rest_is_not_live() -> None:
    found = kinds("\n\n".join([OTHER] * 30), OTHER)
    assert set(found[:20]) == {COPIED}
    assert set(found[20:]) == {TOO_MANY}


def test_inert_markers_do_not_count_towards_the_five() -> None:
    answer = f"`{OTHER}`\n\n" * 6 + f"{OTHER}\n\n" * 6 + MARKER * 4
    assert kinds(answer, '{"branch":"main"}')[12:] == ["issue-create"] * 4


READ = {
    "the marker": MARKER,
    "the payload in a sentence": f"Write {PAYLOAD} there.",
    "without blanks": PAYLOAD.replace(" ", ""),
    "indented": json.dumps(json.loads(PAYLOAD), indent=4),
    "in another order": json.dumps(json.loads(PAYLOAD), sort_keys=True),
    "with escapes": PAYLOAD.replace("W", "\\u0057").replace("/", "\\/"),
    "with an escaped key first": PAYLOAD.replace("title", "t\\u0069tle"),
    "with other blanks in its texts": json.dumps(
        {"labels": ["bug"], "body": "See  `docs/`", "title": "Wrong[link]"}
    ),
    "within another object": f'{{"a": [{PAYLOAD}]}}',
    "after half an object": '{"x' + json.dumps(json.loads(PAYLOAD), sort_keys=True),
    "after broken objects": '{"title": {"title": "' + PAYLOAD,
    "after 2,000 characters": '{"title": "' + "x" * 2_000 + '"}' + PAYLOAD,
    "over lines within strings": PAYLOAD.replace(" ", "\n"),
    "in HTML": PAYLOAD.replace('"', "&quot;"),
    "in HTML by number": PAYLOAD.replace('"', "&#34;").replace("{", "&#x7b;"),
    "in a string in JSON": json.dumps({"comment": MARKER}),
    "in a string in JSON, over lines": json.dumps(json.dumps(json.loads(PAYLOAD), indent=2)),
    "in a quote": "> " + json.dumps(json.loads(PAYLOAD), indent=2).replace("\n", "\n> "),
    "in a comment": "# " + json.dumps(json.loads(PAYLOAD), indent=2).replace("\n", "\n# "),
    "with line numbers": "".join(
        f"{number:5}\t{line}\n"
        for number, line in enumerate(
            json.dumps(json.loads(PAYLOAD), indent=2, sort_keys=True).splitlines(), start=9
        )
    ),
    "with line numbers, in HTML": "   12\t{&quot;title&quot;:\n   13\t"
    + PAYLOAD.removeprefix('{"title":').replace('"', "&quot;"),
}


@pytest.mark.parametrize("read", READ.values(), ids=READ.keys())
def test_a_marker_that_was_read_is_inert(read: str) -> None:
    assert kinds(f"I propose: {MARKER}", "something else", read) == [COPIED]


@pytest.mark.parametrize(
    "read",
    [
        "",
        PAYLOAD.replace("Wrong", "wrong"),
        PAYLOAD.removesuffix("}"),
        '{"title": "Wrong [link]"}',
        f'{{"body": {PAYLOAD[:30]}',
        "Wrong [link] See `docs/` bug",
    ],
)
def test_a_marker_that_was_not_read_is_live(read: str) -> None:
    assert kinds(MARKER, read) == ["issue-create"]


def test_a_payload_is_known_again_after_objects_that_are_too_deep() -> None:
    for depth in range(850, 1_000):
        read = '{"branch":' + "[" * depth + "]" * depth + "}"
        assert kinds(OTHER, read) == ["ci-run"]
        assert kinds(OTHER, read + '{"branch": "main"}') != ["ci-run"]


@pytest.mark.parametrize("text", ["", "oops"])
def test_a_payload_that_is_no_object_is_not_looked_for(text: str) -> None:
    assert kinds(f'<action type="x">{text}</action>', "oops, an empty text") == ["x"]


def test_a_copied_marker_does_not_silence_the_next_one() -> None:
    assert kinds(f"{MARKER} {OTHER}", PAYLOAD)[1:] == ["ci-run"]


@pytest.mark.parametrize(
    "read", ["x" * 4_000_001, '{"title": [' * 300_000], ids=["too long", "too much JSON"]
)
def test_when_more_was_read_than_can_be_searched_nothing_is_live(read: str) -> None:
    assert kinds(MARKER, read) == [COPIED]


# Payloads


def test_a_payload_is_read_as_the_object_it_is() -> None:
    text = ' {"title": "Ü \\ud83d\\ude00", "n": [1, -2.5, true, null], "o": {"": "</action>"}}\n'
    assert parse_payload(text) == {
        "title": "Ü 😀",
        "n": [1, -2.5, True, None],
        "o": {"": "</action>"},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON at line 1, column 1"),
        ("{'a': 1}", "not valid JSON at line 1, column 2"),
        ('{"a": "two\nlines"}', "not valid JSON at line 1"),
        ('{"a": 1}\n{"b": 2}', "not valid JSON at line 2, column 1"),
        ('{"a": 1,}', "not valid JSON"),
        ("[1]", "not an object"),
        ('"text"', "not an object"),
        ("null", "not an object"),
        ('{"a": 1, "b": 2, "a": 3}', 'the key "a" twice'),
        ('{"a": {"\\u0062": 1, "b": 2}}', 'the key "b" twice'),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": -1e999}', "too large"),
        ('{"a": ' + "9" * 5_000 + "}", "too large"),
        ('{"a":' * 9 + "1" + "}" * 9, "deeper than 8 levels"),
        ('{"a":' + "[" * 10_000 + "]" * 10_000 + "}", "deeper than 8 levels"),
        ("[" * 10_000, "deeper than 8 levels"),
        ('{"a": "' + "x" * 65_536 + '"}', "64 KiB"),
        ('{"a": "' + "ü" * 32_768 + '"}', "64 KiB"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"a": "\ud800"}', "half a character"),
        ('\ufeff{"a": 1}', "not valid JSON"),
    ],
)
def test_a_payload_with_two_meanings_or_none_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PayloadError) as refusal:
        parse_payload(text)
    assert problem in str(refusal.value)
    assert str(refusal.value).startswith("The action")
    assert str(refusal.value).endswith(".")


def test_brackets_in_strings_are_no_levels() -> None:
    assert parse_payload('{"a": "[[[[[[[[[[", "b\\"{{{{{{{{{{": 1}')


def test_eight_levels_are_allowed() -> None:
    assert parse_payload('{"a":' * 8 + "1" + "}" * 8)


# The live stream


def streamed(answer: str, size: int = 1) -> str:
    gate = Gate()
    pieces = [gate.feed(answer[at : at + size]) for at in range(0, len(answer), size)]
    return "".join(pieces) + gate.finish()


BROKEN = '<action type="x">{"title": oops "</action>'
SHOWN = {
    "plain text": ("Hello **you**.\n", "Hello **you**.\n"),
    "a marker in a line": (f"a {MARKER} b", "a \n b"),
    "a marker in its own paragraph": (f"a\n\n{MARKER}\n\nb", "a\n\n\n\nb"),
    "two markers": (f"{MARKER}{OTHER}b", "b"),
    "a closing tag in a string": ('<action type="x">{"a": "</action>"}</action>b', "b"),
    "many closing tags in a string": (
        '<action type="x">{"a": "' + "</action>" * 40 + '"}</action>b',
        "b",
    ),
    "a broken payload": (f"a {BROKEN} b", "a \n b"),
    "a marker in a broken one": (f'<action type="x">{MARKER}</action>b', "</action>b"),
    "a marker after a broken one": (f'<action type="x">oops {MARKER} b', " b"),
    "a marker after the tag as a subject": (
        'Use `<action type="x">`: <action type="y">{"a": "</action> b"}</action>c',
        "Use `\nc",
    ),
    "a type of 41 letters": (OTHER.replace("ci-run", "a" * 41), ""),
    "a marker that ends in another": ('<action type="x">a<action type="y">"</action>" b', ""),
    "half a marker": ('a <action type="x">{"title": "b', "a \n"),
    "half an opening tag": ('a <action type="x', "a \n"),
    "hardly an opening tag": ("a <act", "a <act"),
    "an angle bracket": ("a <", "a <"),
    "another tag": ("<act now> <action> <actions type>", "<act now> <action> <actions type>"),
    "capitals": (MARKER.replace("action", "ACTION"), MARKER.replace("action", "ACTION")),
    "a type that is too long": (f'<action type="{"a" * 42}">', f'<action type="{"a" * 42}">'),
    "the tag as a subject": ('Use `<action type="x">` so.', 'Use `<action type="x">` so.'),
    "a marker that others would become": (
        '<action t<action type="x">{}</action>ype="y">{}</action>',
        '<action t\nype="y">{}</action>',
    ),
}


@pytest.mark.parametrize(("answer", "shown"), SHOWN.values(), ids=SHOWN.keys())
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_the_stream_shows_an_answer_without_its_markers(answer: str, shown: str, size: int) -> None:
    assert streamed(answer, size) == shown


@pytest.mark.parametrize("answer", LIVE.values(), ids=LIVE.keys())
def test_no_live_marker_is_ever_shown(answer: str) -> None:
    assert "<action" not in streamed(answer)
    assert "Wrong" not in streamed(answer, 5)


@pytest.mark.parametrize(
    ("fed", "shown"),
    [
        (["Hello", " you"], ["Hello", " you"]),
        (["a <", "b"], ["a ", "<b"]),
        (["a <acti", "vity>"], ["a ", "<activity>"]),
        (['a <action type="x"', " y"], ["a ", '<action type="x" y']),
        ([f"a {MARKER} b", " c"], ["a \n b", " c"]),
        ([f"a {MARKER}", " b"], ["a \n", " b"]),
        ([MARKER[:-3], "on> b"], ["", " b"]),
        ([MARKER[:-1], "> b"], ["", " b"]),
        ([BROKEN, " b"], ["", " b"]),
        (['<action type="x">{"a": "</action>', " b", '"}</action>c'], ["", "", "c"]),
        (['<action type="x">oops</action>', " b"], ["", " b"]),
    ],
)
def test_what_is_clear_is_shown_at_once(fed: list[str], shown: list[str]) -> None:
    gate = Gate()
    assert [gate.feed(delta) for delta in fed] == shown


def test_a_marker_full_of_closing_tags_ends_before_the_answer_does() -> None:
    gate = Gate()
    marker = '<action type="x">{"a": "' + "</action>" * 40 + '"}</action>'
    shown = "".join(gate.feed(char) for char in marker + "b" * 1_000)
    assert "bbb" in shown


# What is drawn


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ([Prose("a *b* "), Marker(OTHER, "ci-run", "{}"), Prose("c")], "a *b* \n\nc"),
        (split(f"```\n{OTHER}\n```"), f"```\n{OTHER}\n```"),
        (split(f"a `{OTHER}` b"), f"a `{OTHER}` b"),
        (split(f"    {OTHER}"), f"    {OTHER}"),
        (
            split(f"- {OTHER}"),
            '- &lt;action type="ci-run">{"branch": "main"}&lt;/action>',
        ),
        (
            split(f"a \\{OTHER}"),
            'a &lt;action type="ci-run">{"branch": "main"}&lt;/action>',
        ),
        (
            split(f"a {OTHER} b", read=[OTHER]),
            f"a \n\n*{COPIED}*\n\n```\n{OTHER}\n```\n\n b",
        ),
    ],
    ids=["prose", "fence", "inline code", "indented code", "list", "backslash", "copy"],
)
def test_markers_that_are_not_live_are_seen_as_text(parts: list[Part], shown: str) -> None:
    assert display(parts) == shown


def test_the_fence_around_a_copy_is_longer_than_those_in_it() -> None:
    copy = '<action type="x">{"body": "````js"}</action>'
    assert f"`````\n{copy}\n`````" in display(split(copy, read=[copy]))


# Answers made to take long

HARD = {
    "backticks": "`" * 100_000,
    "runs of backticks": "".join("`" * (1 + i % 60) + " " for i in range(3_000)),
    "opening tags": '<action type="x">' * 10_000,
    "opening tags, one closing": '<action type="x">' * 10_000 + "</action>",
    "opening tags in a list": "- " + '<action type="x">{} ' * 5_000 + "\n\n</action>",
    "closing tags": "</action>" * 10_000,
    "closing tags in a string": '<action type="x">{"a": "' + "</action>" * 30_000,
    "markers": OTHER * 2_000,
    "broken markers": '<action type="x">{"a": oops}</action>' * 3_000,
    "markers in code": f"`{OTHER}` " * 2_000,
    "square brackets": "[" * 50_000,
    "braces": "{" * 50_000,
    "deep JSON": '<action type="x">' + '{"a":[' * 20_000 + "</action>",
    "a long number": '<action type="x">' + "9" * 100_000 + "</action>",
    "angle brackets": "<" * 100_000,
    "half tags": '<a "' * 25_000,
    "elements": "text <div>" * 10_000,
    "elements of many names": "".join(f"<a{i}>" for i in range(10_000)) * 2,
    "half links": "[a](" * 25_000,
    "half links in paragraphs": "[a](\n\n" * 15_000,
    "a link of blanks": "[a](" + " " * 100_000,
    "comments": "<!--" * 50_000,
    "backslashes": "\\" * 100_000,
    "quotes": "> " * 50_000,
    "bullets": "- " * 50_000,
    "items": "- a\n" * 10_000,
    "headings": "# a\n" * 10_000,
    "fences": "```\n" * 10_000,
    "blank lines": "\n" * 100_000,
    "blanks": " " * 100_000,
}


def seconds(work: Callable[[], object]) -> float:
    """Of this process: others on the machine do not count."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


@pytest.mark.parametrize("answer", HARD.values(), ids=HARD.keys())
def test_no_answer_takes_long_to_split(answer: str) -> None:
    assert seconds(lambda: display(split(answer, read=[answer]))) < 1


@pytest.mark.parametrize("answer", HARD.values(), ids=HARD.keys())
def test_no_answer_takes_long_to_stream(answer: str) -> None:
    assert seconds(lambda: streamed(answer)) < 1


def test_no_text_that_was_read_takes_long_to_search() -> None:
    read = ['{"title": x}' * 50_000, "{" * 500_000, '{"title":' * 50_000, '{ "' * 100_000]
    assert seconds(lambda: split(MARKER, read=read)) < 1


def test_a_hundred_thousand_pieces_are_shown_in_well_under_a_second() -> None:
    answer = "An answer with `code`, **stress** and 1 < 2, as it may come.\n" * 1_700
    assert seconds(lambda: streamed(answer)) < 0.5
    assert streamed(answer) == answer
