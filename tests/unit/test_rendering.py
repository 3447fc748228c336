"""What people write, as the pages show it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.formatting.allowed import clean
from app.formatting.links import Base
from app.rendering import MAX_BYTES, MAX_FILE_LINES, Renderer


@pytest.fixture(scope="module")
def shared() -> Iterator[Renderer]:
    renderer = Renderer(url_prefix="/wiki", deadline_s=20.0)
    yield renderer
    renderer.close()


FEATURES = {
    "heading": ("## Set up", '<h2 id="set-up">Set up<a class="anchor" href="#set-up"'),
    "heading-label": ("## A", 'aria-label="Link to this section">#</a></h2>'),
    "second-h1-is-h2": ("# A\n# B", '<h2 id="b">'),
    "same-headings-differ": ("## A\n## A", '<h2 id="a-1">'),
    "closed-heading": ("## A ##", '<h2 id="a">A<a'),
    "underlined-heading": ("Title\n=====", '<h1 id="title">'),
    "hashtag-is-text": ("#123 is fixed", "<p>#123 is fixed</p>"),
    "our-names-are-ours": ("## Lectern-drawer", '<h2 id="section-lectern-drawer">'),
    "link-to-our-name": ("[x](#lectern-drawer)", '<a href="#section-lectern-drawer">'),
    "unicode-heading": ("## Über uns, çok", '<h2 id="über-uns-çok">'),
    "bullets-after-text": ("Text:\n- a\n- b", "<p>Text:</p>\n<ul>\n<li>a</li>\n<li>b</li>"),
    "numbers-after-text": ("Text:\n1. a", "<p>Text:</p>\n<ol>\n<li>a</li>"),
    "year-in-text": ("It was in\n1986. A year.", "<p>It was in\n1986. A year.</p>"),
    "nested-by-two": ("- a\n  - b\n    - c", "<li>a<ul>\n<li>b<ul>\n<li>c</li>"),
    "nested-by-three": ("* a\n   * b", "<li>a<ul>\n<li>b</li>"),
    "nested-by-four": ("- a\n    - b", "<li>a<ul>\n<li>b</li>"),
    "nested-by-tab": ("- a\n\t- b", "<li>a<ul>\n<li>b</li>"),
    "two-spaces-under-number": ("1. a\n  - b\n    - c\n2. d", "<li>a<ul>\n<li>b<ul>\n<li>c</li>"),
    "list-goes-on": ("1. a\n  - b\n2. c", "</li>\n<li>c</li>\n</ol>"),
    "list-start": ("3) a\n4) b", '<ol start="3">\n<li>a</li>\n<li>b</li>'),
    "loose-list": ("- a\n\n- b", "<li>\n<p>a</p>\n</li>"),
    "fence-in-item": (
        "1. a\n   ```sh\n   ls\n   ```\n2. b",
        '<li>a<div class="code" data-language="sh"><pre tabindex="0"><code>ls</code></pre></div>',
    ),
    "fence": (
        "```python\nif x:\n```",
        'data-language="python"><pre tabindex="0"><code><span class="k">if</span>',
    ),
    "tilde-fence": ("~~~\n```\n~~~", '<div class="code"><pre tabindex="0"><code>```</code></pre>'),
    "fence-keeps-tabs": ("```make\na:\n\tb\n```", "\t</span>b</code>"),
    "fence-keeps-blank-lines": ("```\n\n\na\n```", "<code>\n\na</code>"),
    "unclosed-fence": ("```\n**a**", "<code>**a**</code>"),
    "fence-options": ("```js {1,3} title=x\n1\n```", 'data-language="js"'),
    "indented-code": ("a\n\n    b <i>", '<pre tabindex="0"><code>b &lt;i&gt;</code></pre>'),
    "table": (
        "Text\n| a | b |\n|---|--:|\n| 1 | `x|y` |",
        '<div class="table" tabindex="0" role="region" aria-label="Table"><table>\n<thead>',
    ),
    "table-alignment": ("| a |\n|--:|\n| 1 |", '<td align="right">1</td>'),
    "table-escaped-bar": ("| a |\n|---|\n| `x\\|y` |", "<td><code>x|y</code></td>"),
    "table-without-edges": ("a | b\n-|-\n1 | 2", "<td>1</td>\n<td>2</td>"),
    "task-done": (
        "- [x] a",
        '<li class="task"><input type="checkbox" disabled checked aria-label="Done"> a</li>',
    ),
    "task-open": (
        "- [ ] a",
        '<li class="task"><input type="checkbox" disabled aria-label="Not done"> a</li>',
    ),
    "task-loose": ("- [ ] a\n\n- [x] b", 'disabled checked aria-label="Done"> b</p>'),
    "alert": (
        "> [!WARNING]\n> Hot",
        '<div class="admonition warning">\n<p class="admonition-title">Warning</p>\n<p>Hot</p>',
    ),
    "admonition": (
        '!!! danger "Careful"\n    - a',
        '<div class="admonition caution">\n<p class="admonition-title">Careful</p>\n<ul>',
    ),
    "unknown-admonition": ("!!! quote\n    a", '<div class="admonition note">'),
    "quote": ("a\n> b\nc", "<blockquote>\n<p>b\nc</p>"),
    "fence-in-quote": ("> ```\n> a\n> ```", '<blockquote><div class="code">'),
    "definitions": ("Term\n: One", "<dl>\n<dt>Term</dt>\n<dd>One</dd>"),
    "strike": ("~~a~~ b~c~d", "<del>a</del> b~c~d"),
    "emphasis": ("**a** _b_ ***c*** snake_case_x 2 * 3 * 4", "snake_case_x 2 * 3 * 4"),
    "escapes": ("\\* \\~ \\| \\<b>", "* ~ | &lt;b&gt;"),
    "line-breaks": ("a\\\nb  \nc", "a<br>\nb<br>\nc"),
    "emoji-stays": (":smile:", "<p>:smile:</p>"),
    "formula-stays": ("$a_1 * b_1$ and $$x\\\\y_1$$", "<p>$a_1 * b_1$ and $$x\\\\y_1$$</p>"),
    "prices-are-no-formula": ("$5 *and* $6", "<em>and</em>"),
    "html-inline": ("<kbd>A</kbd> H<sub>2</sub>O", "<kbd>A</kbd> H<sub>2</sub>O"),
    "markdown-in-details": (
        "<details>\n<summary>S</summary>\n\n**b**\n\n</details>",
        "<summary>S</summary><p><strong>b</strong></p>",
    ),
    "entity": ("&copy; &amp; AT&T", "© &amp; AT&amp;T"),
    "footnote": (
        "a[^n]\n\n[^n]: Note",
        '<sup id="fnref:n"><a href="#fn:n" class="footnote-ref">1</a></sup>',
    ),
    "footnote-text": ("b[^n]\n\n[^n]: Note\n\n    more", '<ol>\n<li id="fn:n">\n<p>Note'),
    "footnote-without-reference": ("a\n\n[^n]: Note", "<p>a</p>"),
    "footnote-without-text": ("a[^n]\n\n[^n]:", '<li id="fn:n">'),
    "footnotes-in-order": (
        "a[^y] b[^x]\n\n[^x]: X\n[^y]: Y",
        'Y <a href="#fnref:y" class="footnote-backref"',
    ),
    "footnote-twice": (
        "a[^n] b[^n]\n\n[^n]: Note",
        '↩</a> <a href="#fnref2:n" class="footnote-backref"',
    ),
    "footnote-in-footnote": ("a[^n]\n\n[^n]: N[^m]\n[^m]: M", '<li id="fn:m">'),
    "footnote-back": (
        "a[^n]\n\n[^n]: Note",
        'class="footnote-backref" aria-label="Back to the text">↩</a>',
    ),
    "reference": ('[a][B]\n\n[b]: x.md "T"', '<a href="/wiki/docs/docs/x.md" title="T">a</a>'),
    "reference-with-code": (
        "[`f<T>()`][] [x][`B`]\n\n[`f<T>()`]: x.md\n[b]: y.md",
        'docs/x.md"><code>f&lt;T&gt;()</code></a> <a href="/wiki/docs/docs/y.md">x</a>',
    ),
    "reference-on-two-lines": ("[a]\n\n[a]:\n  x.md", '<a href="/wiki/docs/docs/x.md">a</a>'),
    "first-reference-counts": ("[a]\n\n[a]: x.md\n[A]: y.md", "/wiki/docs/docs/x.md"),
    "emphasis-next-to-punctuation": ("the glob */src/*x", "the glob */src/*x"),
    "bare-address": ("see https://a.b/c_d.", 'href="https://a.b/c_d">https://a.b/c_d</a>.'),
    "no-issue-shorthand": ("#12 and @someone", "<p>#12 and @someone</p>"),
    "address-in-brackets": ("<https://a.b/?x=1&y=2>", 'href="https://a.b/?x=1&amp;y=2"'),
    "mail": ("<me@a.b>", '<a href="mailto:me@a.b">me@a.b</a>'),
    "front-matter": (
        "---\ntitle: A <b>\nwhen: 2026-01-02\nyes: yes\ntags: [x, y]\n---\ntext",
        '<table class="front-matter"><tbody><tr><th scope="row">title</th><td>A &lt;b&gt;</td></tr>'
        '<tr><th scope="row">when</th><td>2026-01-02</td></tr>'
        '<tr><th scope="row">yes</th><td>yes</td></tr>'
        '<tr><th scope="row">tags</th><td>x, y</td></tr></tbody></table>',
    ),
    "front-matter-broken": ("---\na: [\n---\ntext", '<div class="code" data-language="yaml">'),
    "front-matter-empty": ("---\n---\ntext", "<p>text</p>"),
    "rule-is-no-front-matter": ("---\n\n# Title\n\n---\n", "<hr>"),
    "front-matter-with-alias": ("---\na: &x 1\nb: *x\n---\n", 'data-language="yaml"'),
    "front-matter-nested": ("---\na: " + "[" * 3_000 + "\n---\ntext", "<p>text</p>"),
    "front-matter-of-windows": ("---\r\na: b\r\n---\r\n", '<table class="front-matter">'),
    "quotes-without-end": ("> " * 3_000 + "a", "<blockquote>"),
    "lists-without-end": ("- " * 300 + "a", "<li>"),
    "text-behind-a-quoted-fence": ("> ```\n> a\nb", "</blockquote>\n<p>b</p>"),
    "block-in-a-paragraph": ("a <div>b</div>\n\nc", "</div>\n<p>c</p>"),
    "link-in-link": ("<div><a href=x><table><td><a href=y>b</a></table></a></div>", "<td>b</td>"),
    "heading-in-link": (
        "<div><a href=x><h2>t</h2></a></div>",
        '<a href="/wiki/docs/docs/x"><h2 id="t">t</h2></a>',
    ),
    "heading-in-heading": ("<h2>a<div><h1>b</h1></div></h2>", '<h2 id="ab">a<div>b</div><a'),
    "windows-lines": ("---\r\na: b\r\n---\r\n- x\r\n- y\r\n", "<li>x</li>\n<li>y</li>"),
    "byte-order-mark": ("\ufeff# A", '<h1 id="a">'),
}


@pytest.mark.parametrize(("text", "expected"), FEATURES.values(), ids=FEATURES.keys())
def test_a_page_reads_as_on_the_forge(shared: Renderer, text: str, expected: str) -> None:
    page = shared.page(text, path="docs/setup.md")

    assert page.problem is None
    assert expected in page.html


LINKS = {
    "sibling": ("next.md", "/wiki/docs/docs/next.md"),
    "up": ("../README.md#intro", "/wiki/docs/README.md#intro"),
    "root": ("/a/b.md", "/wiki/docs/a/b.md"),
    "folder": ("guide/", "/wiki/docs/docs/guide"),
    "root-folder": ("..", "/wiki/"),
    "dots": ("./a/./b/../c.md", "/wiki/docs/docs/a/c.md"),
    "query-is-dropped": ("x.md?plain=1#L3", "/wiki/docs/docs/x.md#L3"),
    "fragment": ("#frag", "#frag"),
    "query-and-fragment-only": ("?plain=1#frag", "#frag"),
    "spaces": ("<my file.md>", "/wiki/docs/docs/my%20file.md"),
    "written-encoded": ("a%20b%23c%3Fd%25e.md", "/wiki/docs/docs/a%20b%23c%3Fd%25e.md"),
    "unicode": ("übersicht.md", "/wiki/docs/docs/%C3%BCbersicht.md"),
    "not-utf-8": ("a%ff.md", "/wiki/docs/docs/a%FF.md"),
    "mail": ("mailto:a@b.c", "mailto:a@b.c"),
    "web": ("https://a.b/x?y=1&z", "https://a.b/x?y=1&amp;z"),
    "other-protocol-address": ("//a.b/x", "https://a.b/x"),
    "above-the-root": ("../../x.md", None),
    "above-the-root-encoded": ("%2e%2e/%2e%2e/x.md", None),
    "above-the-root-encoded-slash": ("..%2f..%2fx.md", None),
    "nothing": ("", None),
    "query-only": ("?a=b", None),
    "backslashes": ("\\\\\\\\evil.test", None),
    "slash-backslash": ("/\\\\evil.test", None),
    "script": ("javascript:alert(1)", None),
    "script-with-a-line-end": ("java&#10;script:alert(1)", None),
    "script-as-entities": ("&#106;avascript:alert(1)", None),
    "script-behind-control": ("&#1;javascript:alert(1)", None),
    "data": ("data:text/html,x", None),
    "vbscript": ("VBScript:x", None),
    "scheme-without-host": ("https:x.md", None),
    "scheme-with-one-slash": ("https:/x.md", None),
    "nul": ("a%00.md", None),
    "control-character": ("https://a.b/&#1;x", None),
}


@pytest.mark.parametrize(("address", "expected"), LINKS.values(), ids=LINKS.keys())
def test_a_link_leads_where_it_does_on_the_forge_or_nowhere(
    shared: Renderer, address: str, expected: str | None
) -> None:
    html = shared.page(f"[x]({address})", path="docs/setup.md").html

    if expected is None:
        assert html == "<p><a>x</a></p>"
    else:
        assert f'href="{expected}"' in html
    is_external = expected is not None and expected.startswith("https:")
    assert ('<a class="external" rel="noopener noreferrer nofollow"' in html) == is_external


def test_a_scheme_is_refused_by_the_allow_list_and_again_where_links_are_made() -> None:
    base = Base("docs", "")

    for address in ("javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd"):
        assert clean(f'<a href="{address}">x</a>') == "<a>x</a>"
        assert base.link(address) is None


OWN_VALUES = {
    "id": ('<li id="main">x</li>', "<li>x</li>"),
    "footnote-id": ('<sup id="fn:1">x</sup>', "<sup>x</sup>"),
    "id-on-a-heading": ('<h2 id="main">x</h2>', '<h2 id="x">'),
    "name": ('<a name="main">x</a>', "<a>x</a>"),
    "class": ('<div class="card lectern-x">x</div>', "<div>x</div>"),
    "class-of-a-line": ('<span class="line k">x</span>', '<span class="k">x</span>'),
    "language": ("<div data-language='a\" b'>x</div>", "<div>x</div>"),
    "width": ('<img src="x.png" width="100vw">', 'alt="" loading="lazy">'),
    "span": ('<table><td colspan="9999" align="justify">x</table>', "<td>x</td>"),
    "style": ('<p style="color:red" title="x">x</p>', "<p>x</p>"),
}


@pytest.mark.parametrize(("html", "expected"), OWN_VALUES.values(), ids=OWN_VALUES.keys())
def test_an_author_names_nothing_on_our_page(shared: Renderer, html: str, expected: str) -> None:
    assert expected in shared.page(html, path="docs/setup.md").html


IMAGES = {
    "local": (
        "![A <b>](img/a.png?raw=true)",
        '<img src="/wiki/docs/docs/img/a.png" alt="A &lt;b&gt;" loading="lazy">',
    ),
    "html": (
        '<img src="/a.png" width="120" onerror="x" srcset="https://e.t/x.png 2x">',
        '<img src="/wiki/docs/a.png" alt="" loading="lazy" width="120">',
    ),
    "elsewhere": (
        "![Logo](https://e.t/x.png?who=me)",
        '<a class="external" rel="noopener noreferrer nofollow" href="https://e.t/x.png?who=me">'
        "Image: Logo (e.t)</a>",
    ),
    "elsewhere-by-reference": (
        "![Logo][l]\n\n[l]: //e.t/x.png",
        'href="https://e.t/x.png">Image: Logo (e.t)</a>',
    ),
    "badge": (
        "[![Build](https://i.t/b.svg)](https://ci.t/1)",
        'href="https://ci.t/1">Image: Build (i.t)</a>',
    ),
    "user-in-address": ("![a](https://good.t@evil.t/x)", "Image: a (evil.t)"),
    "backslash-in-address": ('<img src="https://a.t\\@b.t/x">', "Image (a.t)"),
    "data": ("![A](data:image/png;base64,AA)", "<p>A</p>"),
    "above-the-root": ("![A](../../x.png)", "<p>A</p>"),
}


@pytest.mark.parametrize(("text", "expected"), IMAGES.values(), ids=IMAGES.keys())
def test_images_come_from_the_repository_only(shared: Renderer, text: str, expected: str) -> None:
    assert expected in shared.page(text, path="docs/setup.md").html


def test_a_page_knows_its_title_and_contents(shared: Renderer) -> None:
    page = shared.page("# The `first`\n## A & B[^1]\n#### Deep\n### C\n# D\n\n[^1]: x", path="a.md")

    assert (page.title, page.has_h1) == ("The first", True)
    assert [(each.level, each.id, each.text) for each in page.toc] == [
        (2, "a--b", "A & B"),
        (3, "c", "C"),
        (2, "d", "D"),
    ]


def test_front_matter_gives_a_title_where_there_is_no_heading(shared: Renderer) -> None:
    page = shared.page("---\ntitle: From above\n---\ntext", path="a.md")

    assert (page.title, page.has_h1) == ("From above", False)


def test_a_heading_that_is_a_picture_has_the_name_of_the_picture(shared: Renderer) -> None:
    page = shared.page("# ![Widgets](logo.png)", path="a.md")

    assert page.title == "Widgets"


def test_a_message_has_no_ids_and_stands_below_the_headings_of_the_page(shared: Renderer) -> None:
    html = shared.message("# A\n## B\n##### C\na[^1] [x](docs/a.md)\n\n[^1]: n\n\n---\nb: c\n---\n")

    assert "<h3>A</h3>\n<h4>B</h4>\n<h6>C</h6>" in html
    assert ' id="' not in html
    assert '<a href="/wiki/docs/docs/a.md">x</a>' in html
    assert "[^1]" in html


def test_a_file_has_a_numbered_anchor_on_every_line(shared: Renderer) -> None:
    html = shared.file('\ndef f():\n\treturn "<b>\n\n"\n', path="src/a.py")

    assert html.startswith('<div class="code file" data-language="python"><pre tabindex="0"><code>')
    assert html.count('<span class="line"') == 5
    assert (
        '<span class="line" id="L2"><a class="number" href="#L2">2</a><span class="k">def' in html
    )
    assert "<b>" not in html


def test_a_file_that_ends_in_empty_lines_has_its_colours(shared: Renderer) -> None:
    html = shared.file("if x:\n\n\n", path="a.py")

    assert '<span class="k">if</span>' in html
    assert html.count('class="line"') == 3


def test_a_file_whose_lexer_loses_count_of_the_lines_is_plain(shared: Renderer) -> None:
    html = shared.file("*** A ***\nb\x0bc\n\x85d\n", path="a.robot")

    assert html.count('class="line"') == 3
    assert '<span class="c"' not in html


def test_a_file_of_no_known_language_is_plain(shared: Renderer) -> None:
    html = shared.file("a <b>\r\nc\rd", path="notes.unknown")

    assert "data-language" not in html
    assert '<a class="number" href="#L1">1</a>a &lt;b&gt;</span>' in html
    assert 'id="L3"' in html
    assert 'id="L4"' not in html


def test_a_long_file_is_cut_and_says_so(shared: Renderer) -> None:
    html = shared.file("x\n" * (MAX_FILE_LINES + 1), path="a.txt")

    assert html.count('class="line"') == MAX_FILE_LINES
    assert html.endswith('<p class="notice">Only the first 20,000 of 20,001 lines are shown.</p>')


def test_a_large_file_is_not_coloured_but_has_its_anchors(shared: Renderer) -> None:
    html = shared.file(("x = 1 # <b>\n" * 40)[:-1] + "#" * MAX_BYTES, path="a.py")

    assert '<span class="n">' not in html
    assert 'id="L40"' in html


def test_a_large_fence_and_a_strange_language_are_plain(shared: Renderer) -> None:
    large = shared.page("```python\n" + "if x:\n" * 9_000 + "```", path="a.md").html
    strange = shared.page(
        '```js" onmouseover="x\nif\n```\n~~~' + "a" * 31 + "\nif\n~~~", path="a.md"
    ).html

    assert "<span" not in large
    assert strange.count('<div class="code"><pre tabindex="0"><code>if</code></pre></div>') == 2


def test_half_a_character_is_no_error(shared: Renderer) -> None:
    assert shared.page("a\ud800b", path="a.md").html == "<p>a?b</p>"


def test_links_of_one_text_in_two_folders_are_not_mixed_up(shared: Renderer) -> None:
    assert "/wiki/docs/a/x.md" in shared.page("[x](x.md)", path="a/y.md").html
    assert "/wiki/docs/b/x.md" in shared.page("[x](x.md)", path="b/y.md").html
