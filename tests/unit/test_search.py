"""Search: what it finds, what it must never show, and that it always ends."""

import contextlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.services import search as bounds
from app.services.search import (
    Hit,
    SearchFailed,
    SearchRefused,
    SearchUnavailable,
    find_ripgrep,
    search,
)
from app.services.workspace import Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    write(root / "README.md", "# Widgets\n\nNeedles are in the haystack.\n")
    write(root / "docs/guide.md", "one\na needle\nthree (needle)\n")
    write(root / "docs/deep/page.txt", "a Needle\n")
    write(tmp_path / "secret.md", "foreign needle\n")
    return root


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace(root, hidden=[root / ".lectern"])


@pytest.fixture
def ripgrep(tmp_path: Path) -> Callable[[str], Path]:
    """Another program in ripgrep's place."""

    def make(script: str) -> Path:
        program = write(tmp_path / "rg", f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return make


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def places(hits: tuple[Hit, ...]) -> list[tuple[str, int]]:
    return [(hit.path, hit.line) for hit in hits]


class TestFinding:
    def test_hits_say_path_line_and_text(self, workspace: Workspace) -> None:
        result = search(workspace, "needle")
        assert result.hits == (
            Hit("README.md", 3, "Needles are in the haystack."),
            Hit("docs/deep/page.txt", 1, "a Needle"),
            Hit("docs/guide.md", 2, "a needle"),
            Hit("docs/guide.md", 3, "three (needle)"),
        )
        assert result.files == 3
        assert not result.truncated

    @pytest.mark.parametrize(
        ("pattern", "literal", "found"),
        [
            ("Needle", False, [("README.md", 3), ("docs/deep/page.txt", 1)]),
            ("n.*le$", False, [("docs/deep/page.txt", 1), ("docs/guide.md", 2)]),
            ("(needle)", True, [("docs/guide.md", 3)]),
            ("n.*le$", True, []),
            ("pin", False, []),
        ],
    )
    def test_a_pattern_is_a_regex_or_literal(
        self, workspace: Workspace, pattern: str, literal: bool, found: list[tuple[str, int]]
    ) -> None:
        assert places(search(workspace, pattern, literal=literal).hits) == found

    @pytest.mark.parametrize(
        ("glob", "paths"),
        [
            ("*.txt", {"docs/deep/page.txt"}),
            ("docs/*.md", {"docs/guide.md"}),
            ("**/*.md", {"README.md", "docs/guide.md"}),
            ("*.{txt,rst}", {"docs/deep/page.txt"}),
            ("*.nope", set()),
        ],
    )
    def test_a_glob_narrows_it(self, workspace: Workspace, glob: str, paths: set[str]) -> None:
        assert {hit.path for hit in search(workspace, "needle", glob=glob).hits} == paths

    def test_the_end_of_a_line_is_found_whatever_ends_it(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / "dos.md", b"\xef\xbb\xbfa pin\r\nanother pin\r\n")
        result = search(workspace, "pin$")
        assert result.hits == (Hit("dos.md", 1, "a pin"), Hit("dos.md", 2, "another pin"))

    def test_control_characters_are_taken_out_of_the_text(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / "a.md", b"\x1b[31mpin\x07\tred\x7f \xff\n")
        assert search(workspace, "pin").hits[0].text == "[31mpin red \N{REPLACEMENT CHARACTER}"

    @pytest.mark.parametrize(
        ("line", "begins", "ends"),
        [
            ("pin" + "x" * 1000, "pinx", "x…"),
            ("x" * 1000 + "pin" + "x" * 1000, "…x", "x…"),
            ("ü" * 1000 + "pin" + "ü" * 1000, "…ü", "ü…"),
            ("x" * 1000 + "pin", "…x", "pin"),
            ("x" * 297 + "pin", "x", "pin"),
            ("x" * 298 + "pin", "…x", "pin"),
        ],
    )
    def test_of_a_long_line_the_part_around_the_hit_is_shown(
        self, workspace: Workspace, root: Path, line: str, begins: str, ends: str
    ) -> None:
        write(root / "a.md", f"first\n{line}\n")
        text = search(workspace, "pin").hits[0].text
        assert "pin" in text
        assert len(text) <= bounds.MAX_TEXT
        assert text.startswith(begins)
        assert text.endswith(ends)


class TestWhatIsNeverShown:
    @pytest.mark.parametrize(
        "path",
        [
            *(".git/config", "sub/.git/HEAD", ".GIT/x", ".env", ".ENV.local", "deploy/.env"),
            *("server.pem", "id_rsa", ".netrc", ".claude/settings.json", ".mcp.json"),
            *(".lectern/history/ada/1.ndjson", ".ssh/config", "a\nb.md", "x\ny/page.md"),
            *("a\\b.md", "x\n.\\README.md"),
        ],
    )
    def test_P8_a_refused_file(self, workspace: Workspace, root: Path, path: str) -> None:
        write(root / path, "only pin\n")
        assert search(workspace, "only pin").hits == ()

    def test_a_name_made_to_look_like_another_shows_no_more_than_that_other(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / "x\n./README.md", "only pin\n")
        assert search(workspace, "only pin").hits == (Hit("README.md", 1, "# Widgets"),)

    def test_a_dotfile_that_is_allowed_is_found(self, workspace: Workspace, root: Path) -> None:
        write(root / ".github/workflows/ci.yml", "pin\n")
        write(root / ".env.example", "pin\n")
        found = {hit.path for hit in search(workspace, "pin").hits}
        assert found == {".github/workflows/ci.yml", ".env.example"}

    def test_P2_a_file_behind_a_link(self, workspace: Workspace, root: Path) -> None:
        (root / "leak.md").symlink_to("../secret.md")
        (root / "leak").symlink_to("..")
        (root / "twin.md").symlink_to("docs/guide.md")
        (root / "manual").symlink_to("docs")
        assert search(workspace, "foreign").hits == ()
        assert {hit.path for hit in search(workspace, "(needle)", literal=True).hits} == {
            "docs/guide.md"
        }

    def test_P5_a_file_with_a_second_name(self, workspace: Workspace, root: Path) -> None:
        os.link(root.parent / "secret.md", root / "linked.md")
        assert search(workspace, "foreign").hits == ()

    @pytest.mark.parametrize("glob", [None, "*.md", "build/*", "**", "build/page.md", "a.md"])
    def test_a_file_that_git_ignores(
        self, workspace: Workspace, root: Path, glob: str | None
    ) -> None:
        subprocess.run(["git", "init", "-q", "."], cwd=root, check=True, timeout=20)
        write(root / ".gitignore", "/build/\na.md\n")
        write(root / "build/page.md", "only pin\n")
        write(root / "a.md", "only pin\n")
        assert search(workspace, "only pin", glob=glob).hits == ()

    def test_what_git_ignores_does_not_crowd_out_the_rest(self, root: Path) -> None:
        subprocess.run(["git", "init", "-q", "."], cwd=root.parent, check=True, timeout=20)
        write(root / ".gitignore", "/build/\n")
        write(root / "z.md", "pin\n")
        for number in range(300):
            write(root / f"build/{number:0100}.md", "pin\n" * 60)
        assert search(Workspace(root), "pin").hits == (Hit("z.md", 1, "pin"),)

    def test_the_rules_count_where_there_is_no_repository(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / ".gitignore", "README.md\n")
        assert search(workspace, "haystack").hits == ()

    def test_the_rules_of_a_folder_above_do_not_count(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root.parent / ".gitignore", "*\n")
        write(root.parent / ".ignore", "*\n")
        write(root / ".ignore", "*\n")
        assert search(workspace, "haystack").files == 1

    @pytest.mark.parametrize(
        "content",
        [
            b"\0\0pin\n",
            b"pin\n\0",
            "pin\n".encode("utf-16"),
            bytes(range(128, 256)) * 8 + b"\npin\n",
        ],
    )
    def test_D2_a_binary_file(self, workspace: Workspace, root: Path, content: bytes) -> None:
        write(root / "image.bin", content)
        assert search(workspace, "pin").hits == ()

    def test_P6_a_fifo_holds_nothing_up(self, workspace: Workspace, root: Path) -> None:
        os.mkfifo(root / "pipe.md")
        begun = time.monotonic()
        assert search(workspace, "haystack").files == 1
        assert time.monotonic() - begun < 2

    @pytest.mark.parametrize(
        "printed",
        [
            r"./../secret.md\0001:1:foreign",
            r"../secret.md\0001:1:foreign",
            r"/etc/passwd\0001:1:root",
            r"./.env\0001:1:x",
            r"./leak.md\0001:1:x",
            r"./twin.md\0001:1:x",
            r"./docs/../README.md\0001:1:x",
            r"./missing.md\0001:1:x",
            r"./README.md\00099:1:x",
            r"./README.md\0000:1:x",
            r"./docs\0001:1:x",
            r"./docs/guide.md",
            r"\0\0\0:::",
            r"./\377.md\0001:1:x",
        ],
    )
    def test_what_is_printed_in_its_place_is_not_believed(
        self, workspace: Workspace, root: Path, ripgrep: Callable[[str], Path], printed: str
    ) -> None:
        write(root / ".env", "x\n")
        (root / "leak.md").symlink_to("../secret.md")
        (root / "twin.md").symlink_to("docs/guide.md")
        program = ripgrep(f"printf '{printed}\\n'")
        assert search(workspace, "x", ripgrep=program).hits == ()

    def test_the_text_comes_from_the_file_and_not_from_ripgrep(
        self, workspace: Workspace, ripgrep: Callable[[str], Path]
    ) -> None:
        program = ripgrep(r"printf './README.md\0001:3:foreign bytes\n'")
        assert search(workspace, "x", ripgrep=program).hits == (Hit("README.md", 1, "# Widgets"),)


class TestPatternsAndGlobs:
    @pytest.mark.parametrize("pattern", ["", "x" * 1001, "a\nb", "a\rb", "a\0b", "\ud800"])
    def test_D1_a_pattern_that_is_none_is_refused(self, workspace: Workspace, pattern: str) -> None:
        with pytest.raises(SearchRefused):
            search(workspace, pattern)

    @pytest.mark.parametrize("literal", [True, False])
    @pytest.mark.parametrize(
        "pattern",
        ["--pre=sh", "-f/etc/passwd", "--output=x", "-", "--", "-e", "--files", "-P", "--follow"],
    )
    def test_P9_a_pattern_is_data(
        self, workspace: Workspace, root: Path, pattern: str, literal: bool
    ) -> None:
        write(root / "a.md", f"say {pattern} here\n")
        result = search(workspace, pattern, literal=literal)
        assert Hit("a.md", 1, f"say {pattern} here") in result.hits

    @pytest.mark.parametrize("path", ["-rf", "--pre=sh", "--", "-"])
    def test_P9_a_file_name_is_data(self, workspace: Workspace, root: Path, path: str) -> None:
        write(root / path, "pin\n")
        assert search(workspace, "pin").hits == (Hit(path, 1, "pin"),)

    @pytest.mark.parametrize(
        "glob",
        ["", "/etc/*", "/", "!", "!*.md", "..", "../*", "docs/../../*", "x" * 201]
        + ["**/" * 1000, "a\nb", "a\0b", "\ud800", "{a", "[z-a]", "{" * 50 + "a"],
    )
    def test_P10_a_glob_that_leads_elsewhere_or_is_broken_is_refused(
        self, workspace: Workspace, glob: str
    ) -> None:
        with pytest.raises(SearchRefused):
            search(workspace, "needle", glob=glob)

    @pytest.mark.parametrize(
        "glob",
        ["--pre=sh", "-x", "{a,b}" * 40, "**/" * 60, "*a" * 100, "?" * 200, "[a-z]" * 40]
        + ["\\!*", "*/../*x", "..*", "~/*", "C:/*"],
    )
    def test_P10_a_glob_without_a_match_finds_nothing_soon(
        self, workspace: Workspace, glob: str
    ) -> None:
        begun = time.monotonic()
        with contextlib.suppress(SearchRefused):
            assert search(workspace, "needle", glob=glob).hits == ()
        assert time.monotonic() - begun < 2

    @pytest.mark.parametrize(
        ("pattern", "reason"),
        [
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            ("(?=x)", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"\n", "not allowed"),
            ("(a{1000}){1000}", "size limit"),
            (r"\p{Nope}" * 50, "Unicode property not found"),
        ],
    )
    def test_D1_a_broken_regex_is_refused_with_the_reason(
        self, workspace: Workspace, pattern: str, reason: str
    ) -> None:
        begun = time.monotonic()
        with pytest.raises(SearchRefused, match=reason) as refused:
            search(workspace, pattern)
        assert len(str(refused.value)) < 300
        assert "\n" not in str(refused.value)
        assert time.monotonic() - begun < 2

    @pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)(.*)(.*)x", "((a*)*)*c"])
    def test_D1_a_regex_that_others_never_finish_is_done_soon(
        self, workspace: Workspace, root: Path, pattern: str
    ) -> None:
        write(root / "a.md", "a" * 50_000 + "!\n")
        begun = time.monotonic()
        search(workspace, pattern)
        assert time.monotonic() - begun < 2

    def test_a_reason_is_cut(self, workspace: Workspace, ripgrep: Callable[[str], Path]) -> None:
        program = ripgrep("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 2")
        with pytest.raises(SearchRefused) as refused:
            search(workspace, "x", ripgrep=program)
        assert len(str(refused.value)) < 300


class TestBounds:
    def test_D2_a_million_hits_are_cut(self, workspace: Workspace, root: Path) -> None:
        for number in range(20):
            write(root / f"many/{number:02}.md", "pin\n" * 50_000)
        begun = time.monotonic()
        result = search(workspace, "pin")
        assert time.monotonic() - begun < 5
        assert len(result.hits) == bounds.MAX_HITS
        assert result.files == bounds.MAX_HITS // bounds.MAX_HITS_PER_FILE
        assert result.truncated

    @pytest.mark.parametrize(("lines", "is_cut"), [(50, False), (51, True)])
    def test_one_file_gives_50_hits(
        self, workspace: Workspace, root: Path, lines: int, is_cut: bool
    ) -> None:
        write(root / "a.md", "pin\n" * lines)
        result = search(workspace, "pin")
        assert len(result.hits) == 50
        assert result.truncated is is_cut

    @pytest.mark.parametrize(("files", "is_cut"), [(200, False), (201, True)])
    def test_200_hits_are_shown(
        self, workspace: Workspace, root: Path, files: int, is_cut: bool
    ) -> None:
        for number in range(files):
            write(root / f"many/{number:03}.md", "pin\n")
        result = search(workspace, "pin")
        assert len(result.hits) == result.files == 200
        assert result.truncated is is_cut

    def test_D2_one_huge_line_is_cut(self, workspace: Workspace, root: Path) -> None:
        write(root / "a.md", "pin" * 300_000)
        begun = time.monotonic()
        (hit,) = search(workspace, "pin").hits
        assert time.monotonic() - begun < 2
        assert len(hit.text) == bounds.MAX_TEXT

    def test_D2_a_line_of_one_endless_character_is_cut(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / "a.md", "pin e" + "\u0301" * 400_000)
        (hit,) = search(workspace, "pin").hits
        assert len(hit.text) == bounds.MAX_TEXT

    def test_D2_a_file_over_1_MB_is_not_searched(self, workspace: Workspace, root: Path) -> None:
        write(root / "a.md", "pin\n" + "x" * bounds.MAX_FILE_BYTES)
        os.truncate(write(root / "b.md", "pin\n"), 300 << 20)
        assert search(workspace, "pin").hits == ()

    def test_a_flood_is_cut_and_marked(
        self, workspace: Workspace, ripgrep: Callable[[str], Path]
    ) -> None:
        program = ripgrep(r"printf './README.md\0001:1:x\n'; exec yes")
        begun = time.monotonic()
        result = search(workspace, "x", ripgrep=program)
        assert time.monotonic() - begun < 5
        assert result.hits == (Hit("README.md", 1, "# Widgets"),)
        assert result.truncated

    def test_a_flood_of_errors_does_not_block(
        self, workspace: Workspace, ripgrep: Callable[[str], Path]
    ) -> None:
        program = ripgrep(r"head -c 5000000 /dev/zero >&2; printf './README.md\0001:1:x\n'")
        assert search(workspace, "x", ripgrep=program).files == 1


class TestEnding:
    def test_a_search_that_takes_too_long_is_ended(
        self, workspace: Workspace, ripgrep: Callable[[str], Path]
    ) -> None:
        begun = time.monotonic()
        with pytest.raises(SearchFailed, match="too long"):
            search(workspace, "x", ripgrep=ripgrep("exec sleep 600"), deadline_s=0.2)
        assert 0.2 <= time.monotonic() - begun < 2

    def test_what_was_found_in_time_is_shown_and_marked(
        self, workspace: Workspace, ripgrep: Callable[[str], Path]
    ) -> None:
        program = ripgrep(r"printf './README.md\0001:1:x\n'; exec sleep 600")
        result = search(workspace, "x", ripgrep=program, deadline_s=1)
        assert places(result.hits) == [("README.md", 1)]
        assert result.truncated

    def test_a_stop_ends_it(
        self, workspace: Workspace, tmp_path: Path, ripgrep: Callable[[str], Path]
    ) -> None:
        os.mkfifo(tmp_path / "started")
        stop = threading.Event()
        stopped_at: list[float] = []

        def stop_once_it_runs() -> None:
            (tmp_path / "started").read_bytes()
            stopped_at.append(time.monotonic())
            stop.set()

        stopping = threading.Thread(target=stop_once_it_runs)
        stopping.start()
        program = ripgrep(f"echo >{tmp_path}/started; exec sleep 600")
        result = search(workspace, "x", ripgrep=program, stop=stop)
        ended_at = time.monotonic()
        stopping.join()
        assert ended_at - stopped_at[0] < 0.5
        assert result.hits == ()
        assert result.truncated

    def test_a_search_stopped_before_it_begins_finds_nothing(self, workspace: Workspace) -> None:
        stop = threading.Event()
        stop.set()
        assert search(workspace, "needle", stop=stop).truncated

    def test_no_process_is_left_of_one_that_does_not_listen(
        self, workspace: Workspace, tmp_path: Path, ripgrep: Callable[[str], Path]
    ) -> None:
        os.mkfifo(tmp_path / "pids")
        stop = threading.Event()
        pids: list[str] = []

        def stop_once_it_runs() -> None:
            pids.extend((tmp_path / "pids").read_text().split())
            stop.set()

        stopping = threading.Thread(target=stop_once_it_runs)
        stopping.start()
        program = ripgrep(
            f"trap '' TERM INT HUP\nsleep 600 &\necho $! $$ >{tmp_path}/pids\nsleep 600"
        )
        search(workspace, "x", ripgrep=program, stop=stop)
        stopping.join()
        assert len(pids) == 2
        assert [pid for pid in pids if not has_ended(int(pid))] == []

    def test_no_process_is_left_of_one_that_closed_its_output(
        self, workspace: Workspace, tmp_path: Path, ripgrep: Callable[[str], Path]
    ) -> None:
        program = ripgrep(f"echo $$ >{tmp_path}/pid; exec >&- 2>&-; exec sleep 600")
        with pytest.raises(SearchFailed):
            search(workspace, "x", ripgrep=program)
        assert has_ended(int((tmp_path / "pid").read_text()))

    @pytest.mark.parametrize("script", ["kill -9 $$", "exit 101", "exit 3"])
    def test_F20_one_that_breaks_off_is_no_answer(
        self, workspace: Workspace, ripgrep: Callable[[str], Path], script: str
    ) -> None:
        with pytest.raises(SearchFailed):
            search(workspace, "x", ripgrep=ripgrep(script))

    @pytest.mark.parametrize("script", ["kill -9 $$", "exit 2", "exit 101"])
    def test_F20_what_it_found_before_is_shown_and_marked(
        self, workspace: Workspace, ripgrep: Callable[[str], Path], script: str
    ) -> None:
        program = ripgrep(rf"printf './README.md\0001:1:x\n'; {script}")
        result = search(workspace, "x", ripgrep=program)
        assert result.files == 1
        assert result.truncated

    def test_no_descriptor_is_left_open(self, workspace: Workspace) -> None:
        before = os.listdir("/proc/self/fd")
        for _ in range(5):
            search(workspace, "needle")
        assert len(os.listdir("/proc/self/fd")) == len(before)


def has_ended(pid: int) -> bool:
    """Whether the process ends; a killed one may take a moment to."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 5)[0])
    finally:
        os.close(process)


class TestTheProgram:
    def test_the_environment_cannot_make_it_run_another(
        self, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evil = write(tmp_path / "evil", f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        evil.chmod(0o755)
        config = write(tmp_path / "config", f"--pre={evil}\n--follow\n--no-ignore\n")
        monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(config))
        assert search(workspace, "haystack").files == 1
        assert not (tmp_path / "ran").exists()

    def test_K4_it_is_told_nothing_and_given_nothing(
        self,
        workspace: Workspace,
        root: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        ripgrep: Callable[[str], Path],
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "canary")
        program = ripgrep(f"env >{tmp_path}/env; pwd >{tmp_path}/cwd; cat >{tmp_path}/stdin")
        search(workspace, "x", ripgrep=program)
        given = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
        assert given <= {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}
        assert "canary" not in (tmp_path / "env").read_text()
        assert (tmp_path / "cwd").read_text().strip() == str(root)
        assert (tmp_path / "stdin").read_text() == ""

    def test_the_one_installed_beside_python_comes_first(self, tmp_path: Path) -> None:
        for folder in ("venv/bin", "usr/bin"):
            write(tmp_path / folder / "rg", "#!/bin/sh\n").chmod(0o755)
        path = str(tmp_path / "usr/bin")
        beside = find_ripgrep(prefix=str(tmp_path / "venv"), path=path)
        assert beside == tmp_path / "venv/bin/rg"
        assert find_ripgrep(prefix=str(tmp_path), path=path) == tmp_path / "usr/bin/rg"

    def test_F20_where_there_is_none_the_error_says_what_to_install(self, tmp_path: Path) -> None:
        with pytest.raises(SearchUnavailable, match="apt install ripgrep"):
            find_ripgrep(prefix=str(tmp_path), path=str(tmp_path))

    def test_one_found_by_a_relative_path_is_not_run(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(root / "rg", "#!/bin/sh\n").chmod(0o755)
        monkeypatch.chdir(root)
        with pytest.raises(SearchUnavailable):
            find_ripgrep(prefix="/nonexistent", path=".")

    def test_F20_one_that_cannot_be_started_is_no_answer(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        with pytest.raises(SearchFailed):
            search(workspace, "x", ripgrep=tmp_path / "gone")

    def test_a_root_that_is_gone_is_no_answer(self, tmp_path: Path) -> None:
        with pytest.raises(SearchFailed):
            search(Workspace(tmp_path / "gone"), "x")
