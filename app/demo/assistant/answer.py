"""The words of the simulated assistant: quotations, places found and, when asked for, a draft.
Knows nothing of requests or streams."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote as quoted_path

from app.demo.assistant import draft, excerpt, quotation
from app.demo.assistant.block import Block, headings
from app.demo.assistant.draft import Finding
from app.demo.assistant.scene import Lookup, Scene
from app.demo.assistant.term import key, keys

MAX_FINDINGS = 5
MAX_FINDING = 110
MAX_TITLES = 8

HELLO = "*I am a simulated model: I can only quote what stands in this repository.*"


@dataclass(frozen=True, slots=True)
class Quotation:
    path: str
    heading: str
    text: str

    @property
    def place(self) -> str:
        heading = quotation.plain(self.heading)
        return f", under “{heading}”" if heading else ""


def answer(scene: Scene) -> str:
    """The whole answer, as Markdown."""
    quotations = _quotations(scene)
    found = findings(scene)
    parts = [HELLO] if scene.is_first_answer else []
    parts += [_refused(each) for each in scene.lookup("read_file") if each.file_text is None]
    parts += [f"{_link(each.path)} says{each.place}:\n\n{each.text}" for each in quotations]
    parts += _told(scene, found)
    if not quotations and not found:
        parts.append(_nothing(scene) if scene.terms else _overview(scene))
    if draft.is_asked_for(scene.question):
        parts.append(_proposal(scene, quotations, found))
    return "\n\n".join(parts) + "\n"


def _quotations(scene: Scene) -> list[Quotation]:
    """From a file that was read, else from the page."""
    read = [(each.path, each.file_text) for each in scene.lookup("read_file") if each.file_text]
    for path, text in [*read, (scene.page or "", scene.text)]:
        found = excerpt.passages(text or "", scene.terms)
        if path and found:
            return [_quotation(path, passage, scene.terms) for passage in found]
    # A file that was asked for by name is shown, whatever the other words are.
    first = [(path, quotation.opening(text or "")) for path, text in read]
    return [_quotation(path, [block], []) for path, block in first if block]


def _quotation(path: str, passage: list[Block], wanted: list[str]) -> Quotation:
    return Quotation(path, passage[0].heading, quotation.quote(passage, wanted))


def _link(path: str, line: int | None = None) -> str:
    where = f":{line}" if line else ""
    anchor = f"#L{line}" if line else ""
    return f"[{path}{where}]({quoted_path(path)}{anchor})"


def findings(scene: Scene) -> list[Finding]:
    """The places found that share most with the question, one a file, other files before this
    page."""
    hits = [hit for each in scene.lookup("search_files") for hit in each.findings]
    wanted = {key(term) for term in scene.terms}
    hits.sort(key=lambda hit: (hit.path == scene.page, -_closeness(hit, wanted)))
    firsts: dict[str, Finding] = {}
    for hit in hits:
        firsts.setdefault(hit.path, hit)
    return [
        Finding(hit.path, hit.line, quotation.clip(quotation.plain(hit.text), MAX_FINDING))
        for hit in list(firsts.values())[:MAX_FINDINGS]
    ]


def _closeness(hit: Finding, wanted: set[str]) -> float:
    """The name of a file says most about it, prose more than code, news least."""
    score = len(wanted & keys(hit.text)) + 1.5 * len(wanted & keys(hit.path))
    score += 0.5 * hit.path.endswith(".md") + 0.5 * hit.text.startswith("#")
    return score - ("changelog" in hit.path.lower())


def best_elsewhere(scene: Scene) -> Finding | None:
    """The place outside this page that is most worth reading."""
    elsewhere = [each for each in findings(scene) if each.path != scene.page]
    pages = [each for each in elsewhere if each.path.endswith(".md")]
    return next(iter(pages or elsewhere), None)


def _told(scene: Scene, found: list[Finding]) -> list[str]:
    """The search and its closest places, as a list."""
    searches = scene.lookup("search_files")
    if not searches or not found:
        return []
    pattern = str(searches[0].arguments.get("pattern", ""))
    sought = " or ".join(f"“{word}”" for word in pattern.split("|"))
    hits = [hit for each in searches for hit in each.findings]
    places = _count(len(hits), "place")
    files = _count(len({hit.path for hit in hits}), "file")
    items = [f"- {_link(each.path, each.line)}: {each.text}" for each in found]
    return [f"I searched for {sought}: {places} in {files}. The closest:\n\n" + "\n".join(items)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _refused(lookup: Lookup) -> str:
    return f"I could not read `{lookup.path}`: there may be no such file."


def _nothing(scene: Scene) -> str:
    sought = ", ".join(f"“{term}”" for term in scene.terms[:4])
    where = "this page and the search" if scene.page else "the search"
    text = f"I found nothing about {sought}: {where} came back empty. Other words may do better."
    covered = headings(scene.text)[1 : 1 + MAX_TITLES]
    return f"{text}\n\n{_covered(covered)}" if covered else text


def _overview(scene: Scene) -> str:
    """For "what is this about?": how the page begins, and what it covers."""
    first = quotation.opening(scene.text)
    if not scene.page or not first:
        return "Ask me about something on a page and I will look for it in this repository."
    parts = [f"{_link(scene.page)} begins like this:", quotation.quote([first], [])]
    covered = headings(scene.text)[1 : 1 + MAX_TITLES]
    return "\n\n".join([*parts, _covered(covered)] if covered else parts)


def _covered(titles: list[str]) -> str:
    return "The page covers:\n\n" + "\n".join(f"- {quotation.plain(each)}" for each in titles)


def _proposal(scene: Scene, quotations: list[Quotation], found: list[Finding]) -> str:
    quotes = [f"`{each.path}`{each.place}:\n\n{each.text}" for each in quotations]
    marker = draft.marker(
        scene.about, page=scene.page, title=scene.title, quotes=quotes, findings=found
    )
    return (
        "Here is a draft of the issue. Change what you like before you create it; nothing is sent"
        f" until you do.\n\n{marker}"
    )
