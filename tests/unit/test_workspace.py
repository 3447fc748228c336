"""The path policy, case by case. Numbers in the ids are those of the table of attacks on paths."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.services import workspace as policy
from app.services.errors import PathNotFound
from app.services.workspace import Entry, File, Listings, Workspace

FOREIGN = b"foreign bytes"
GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository, and beside it what must never be seen."""
    root = tmp_path / "repo"
    write(root / "README.md", "# Widgets\n")
    write(root / "docs/guide.md", "# Guide\n")
    write(root / "docs/deep/er/page.md", "# Page\n")
    write(tmp_path / "secret.txt", FOREIGN)
    write(tmp_path / "elsewhere/page.md", FOREIGN)
    write(tmp_path / "repo-evil/page.md", FOREIGN)
    return root


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace(root)


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=GIT_ENVIRONMENT, check=True, timeout=20)


def repository(folder: Path, ignored: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", ".")
    if ignored:
        write(folder / ".gitignore", ignored)


def names(entries: tuple[Entry, ...]) -> list[str]:
    return [entry.name for entry in entries]


def assert_refused(workspace: Workspace, path: str) -> None:
    """By every way in, and in the words used for what is not there."""
    looks: tuple[Callable[[], object], ...] = (
        lambda: workspace.read(path, limit=100),
        lambda: workspace.kind(path),
        lambda: workspace.listing(path),
        lambda: workspace.index_of(path),
    )
    for look in looks:
        with pytest.raises(PathNotFound) as refused:
            look()
        assert str(refused.value) == str(PathNotFound("missing.md"))
    assert workspace.is_ignored(path) is False


class TestPathsThatLeadOut:
    BY_NAME = (
        "..",
        "../",
        "../secret.txt",
        "../../etc/passwd",
        "docs/../../secret.txt",
        "docs/../../repo/README.md",
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
        "..\\..\\secret.txt",
        "docs\\guide.md",
        "../repo-evil/page.md",
    )
    ON_DISK = (
        "..%2f..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%252e%252e/secret.txt",
        "..../",
        "....//secret.txt",
        "~/.bashrc",
        "file:///etc/passwd",
        "README.md/../../secret.txt/.",
        "README.md/",
        "README.md/x",
        "missing.md",
    )

    @pytest.mark.parametrize("path", BY_NAME + ON_DISK)
    def test_P1_a_path_that_leads_out_is_refused(self, workspace: Workspace, path: str) -> None:
        assert_refused(workspace, path)

    @pytest.mark.parametrize("path", BY_NAME)
    def test_P1_its_name_alone_is_enough(self, workspace: Workspace, path: str) -> None:
        assert not workspace.allows(path)

    @pytest.mark.parametrize(
        "path",
        [
            "docs/guide.md",
            "./docs/guide.md",
            "docs//guide.md",
            "docs/./guide.md",
            "docs/deep/../guide.md",
        ],
    )
    def test_other_spellings_of_a_path_reach_the_same_file(
        self, workspace: Workspace, path: str
    ) -> None:
        assert workspace.read(path, limit=100).path == "docs/guide.md"

    @pytest.mark.parametrize("path", ["", ".", "./", "docs/.."])
    def test_the_root_is_a_folder(self, workspace: Workspace, path: str) -> None:
        assert workspace.kind(path) == "folder"
        assert names(workspace.listing(path)) == ["docs", "README.md"]

    def test_a_root_that_is_not_there_holds_nothing(self, tmp_path: Path) -> None:
        assert_refused(Workspace(tmp_path / "gone"), "README.md")
        assert_refused(Workspace(tmp_path / "gone"), "")


class TestLinks:
    OUT = (
        ("leak.md", "{outside}/secret.txt"),
        ("leak.md", "../secret.txt"),
        ("leak.md", "docs/../../secret.txt"),
        ("leak.md", "docs/deep/../../../secret.txt"),
        ("leak.md", "{root}/../secret.txt"),
        ("leak.md", "{root}-evil/page.md"),
        ("leak.md", "../repo-evil/page.md"),
        ("leak.md", "/etc/passwd"),
        ("leak.md", "/dev/null"),
        ("leak.md", "/proc/self/environ"),
        ("leak", "/proc/self"),
        ("leak", "{outside}/elsewhere"),
        ("leak", ".."),
        ("leak", "/"),
        ("docs/leak", "../../elsewhere"),
        ("leak.md", "leak.md"),
        ("leak.md", "missing.md"),
        ("leak.md", "README.md/../README.md"),
    )

    @pytest.mark.parametrize(("name", "target"), OUT)
    def test_P2_a_link_that_leads_out_is_refused_and_not_listed(
        self, workspace: Workspace, root: Path, name: str, target: str
    ) -> None:
        link = root / name
        link.symlink_to(target.format(root=root, outside=root.parent))
        assert_refused(workspace, name)
        assert_refused(workspace, f"{name}/page.md")
        assert_refused(workspace, f"{name}/secret.txt")
        assert_refused(workspace, f"{name}/environ")
        assert link.name not in names(workspace.listing(os.path.dirname(name)))

    def test_P2_a_chain_of_links_that_ends_outside_is_refused(
        self, workspace: Workspace, root: Path
    ) -> None:
        (root / "c.md").symlink_to("../secret.txt")
        (root / "b.md").symlink_to("docs/../c.md")
        (root / "a.md").symlink_to(f"{root}/b.md")
        assert_refused(workspace, "a.md")

    @pytest.mark.parametrize(
        ("name", "target", "asked", "reached"),
        [
            ("l.md", "docs/guide.md", "l.md", "docs/guide.md"),
            ("l.md", "{root}/docs/guide.md", "l.md", "docs/guide.md"),
            ("l.md", "{root}//docs/./guide.md", "l.md", "docs/guide.md"),
            ("docs/deep/l.md", "../../README.md", "docs/deep/l.md", "README.md"),
            ("docs/l", "deep/er", "docs/l/page.md", "docs/deep/er/page.md"),
            ("docs/l", "deep/er/..", "docs/l/er/page.md", "docs/deep/er/page.md"),
            ("docs/l", "{root}", "docs/l/docs/l/README.md", "README.md"),
            ("docs/l", ".", "docs/l/l/guide.md", "docs/guide.md"),
        ],
    )
    def test_a_link_within_the_root_works_and_shows_where_it_leads(
        self, workspace: Workspace, root: Path, name: str, target: str, asked: str, reached: str
    ) -> None:
        (root / name).symlink_to(target.format(root=root))
        assert workspace.read(asked, limit=100).path == reached
        assert os.path.basename(name) in names(workspace.listing(os.path.dirname(name)))

    @pytest.mark.parametrize(("length", "is_followed"), [(40, True), (41, False)])
    def test_a_chain_is_followed_over_40_links(
        self, workspace: Workspace, root: Path, length: int, is_followed: bool
    ) -> None:
        (root / "l0").symlink_to("README.md")
        for number in range(1, length):
            (root / f"l{number}").symlink_to(f"l{number - 1}")
        if is_followed:
            assert workspace.kind(f"l{length - 1}") == "file"
        else:
            assert_refused(workspace, f"l{length - 1}")

    def test_a_link_whose_target_goes_up_and_down_without_end_is_refused_soon(
        self, workspace: Workspace, root: Path
    ) -> None:
        deep = root / "/".join(["d"] * 200)
        deep.mkdir(parents=True)
        (deep / "l").symlink_to("../d/" * 800 + "l")
        begun = time.monotonic()
        assert_refused(workspace, "d/" * 200 + "l")
        assert time.monotonic() - begun < 2

    def test_a_link_to_a_refused_name_is_refused(self, workspace: Workspace, root: Path) -> None:
        write(root / ".env", FOREIGN)
        write(root / ".git/config", FOREIGN)
        (root / "plain.md").symlink_to(".env")
        (root / "plain").symlink_to(".git")
        assert_refused(workspace, "plain.md")
        assert_refused(workspace, "plain/config")
        assert names(workspace.listing()) == ["docs", "README.md"]

    @pytest.mark.parametrize("target", ["a\nb.md", "a\\b.md", "docs/\x1b.md"])
    def test_a_link_to_an_unfit_name_is_refused(
        self, workspace: Workspace, root: Path, target: str
    ) -> None:
        write(root / target, "x")
        (root / "plain.md").symlink_to(target)
        assert_refused(workspace, "plain.md")

    def test_P4_a_root_reached_through_a_link_is_the_real_one(
        self, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "alias").symlink_to(root)
        workspace = Workspace(tmp_path / "alias")
        assert workspace.root == root
        assert workspace.read("README.md", limit=100).data == b"# Widgets\n"

    def test_a_folder_seen_through_a_link_lists_its_own_paths(
        self, workspace: Workspace, root: Path
    ) -> None:
        (root / "manual").symlink_to("docs")
        assert Entry("manual", "manual", "folder") in workspace.listing()
        assert Entry("guide.md", "docs/guide.md", "file") in workspace.listing("manual")


class TestWhatIsNoPlainFile:
    def test_P5_a_file_with_a_second_name_is_refused_and_not_listed(
        self, workspace: Workspace, root: Path
    ) -> None:
        os.link(root.parent / "secret.txt", root / "linked.md")
        assert_refused(workspace, "linked.md")
        assert "linked.md" not in names(workspace.listing())

    def test_P6_a_fifo_is_refused_at_once(self, workspace: Workspace, root: Path) -> None:
        os.mkfifo(root / "pipe.md")
        (root / "to-pipe.md").symlink_to("pipe.md")
        begun = time.monotonic()
        assert_refused(workspace, "pipe.md")
        assert_refused(workspace, "to-pipe.md")
        assert names(workspace.listing()) == ["docs", "README.md"]
        assert time.monotonic() - begun < 5

    def test_P6_a_socket_is_refused(
        self, workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(root)  # the address of a socket has room for 108 bytes
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("s.md")
            assert_refused(workspace, "s.md")
            assert "s.md" not in names(workspace.listing())

    def test_P6_a_folder_is_not_read(self, workspace: Workspace) -> None:
        with pytest.raises(PathNotFound):
            workspace.read("docs", limit=100)

    @pytest.mark.parametrize("path", ["README.md", "docs/guide.md"])
    def test_a_file_has_no_listing(self, workspace: Workspace, path: str) -> None:
        with pytest.raises(PathNotFound):
            workspace.listing(path)


class TestOddNames:
    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("a\0.md", id="NUL"),
            pytest.param("README.md\n", id="newline"),
            pytest.param("README.md\r", id="return"),
            pytest.param("\x1b[31m.md", id="escape"),
            pytest.param("\x7f", id="delete"),
            pytest.param("a\x85.md", id="C1"),
            pytest.param("\ud800.md", id="lone surrogate"),
            pytest.param("\udcff.md", id="escaped byte"),
            pytest.param("x" * 300, id="300 characters"),
            pytest.param("ü" * 128, id="256 bytes"),
            pytest.param("docs/" + "x" * 300 + "/page.md", id="long folder"),
            pytest.param("a/" * 5000, id="5000 names"),
            pytest.param("a/" * 2500 + "../" * 2500, id="long way round"),
            pytest.param("/" * 5000, id="slashes"),
            pytest.param("ü" * 2100, id="4200 bytes"),
        ],
    )
    def test_P7_an_unfit_path_is_refused(self, workspace: Workspace, path: str) -> None:
        assert_refused(workspace, path)
        assert not workspace.allows(path)

    @pytest.mark.parametrize(
        "name",
        [
            "trailing ",
            "trailing.",
            " leading",
            "CON",
            "a.md:stream",
            "-rf",
            "--pre=sh",
            "*",
            "{a,b}",
        ]
        + [":x", "a\u202eb.md", "…", "...", "x" * 255, "%2e%2e", "a?b#c", "<b>.md", "~"],
    )
    def test_P7_a_strange_but_fitting_name_is_taken_exactly(
        self, workspace: Workspace, root: Path, name: str
    ) -> None:
        assert_refused(workspace, name)
        write(root / name, "here")
        assert workspace.read(name, limit=100).text == "here"
        assert name in names(workspace.listing())

    def test_P7_twins_in_unicode_are_two_files(self, workspace: Workspace, root: Path) -> None:
        write(root / "caf\u00e9.md", "composed")
        write(root / "cafe\u0301.md", "decomposed")
        assert workspace.read("caf\u00e9.md", limit=100).text == "composed"
        assert workspace.read("cafe\u0301.md", limit=100).text == "decomposed"

    def test_P7_a_name_that_is_not_unicode_or_not_printable_is_left_out(
        self, workspace: Workspace, root: Path
    ) -> None:
        for name in (b"\xff.md", b"a\nb.md", b"a\\b.md", b"\x1b.md"):
            Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(b"x")
        assert names(workspace.listing()) == ["docs", "README.md"]


class TestRefusedNames:
    DENIED = (
        *(".git", ".git/config", ".git/hooks/pre-commit", "sub/.git/config", ".git/HEAD"),
        *(".env", ".env.local", ".env.production", "deploy/.env", ".env/bin/python", ".envrc"),
        *(".env.example.local", ".env~", "compose/production.env", ".env.examples"),
        *(".claude/settings.json", ".claude/skills/x.md", "sub/.claude/CLAUDE.md", ".mcp.json"),
        *("sub/.mcp.json", "server.pem", "certs/server.key", "id_rsa", "keys/id_ed25519"),
        *("store.p12", "store.pfx", "secrets.kdbx", ".netrc", ".npmrc", ".pypirc", ".htpasswd"),
        *(".ssh/config", ".ssh/known_hosts", ".gnupg/trustdb.gpg", ".aws/credentials"),
        *(".git-credentials", ".docker/config.json", "a.pem/notes.md"),
    )
    ALLOWED = (
        *(".env.example", "deploy/.env.sample", ".env.template", ".github/workflows/ci.yml"),
        *(".gitignore", ".gitattributes", "environment.md", "x.env.md", "keys.md", "key", "pem"),
        *("server.pem.md", "id_rsa.pub", "CLAUDE.md", "claude/settings.json", "mcp.json"),
        *(".docker/Dockerfile", "aws/credentials.md", "git/config", "legit", ".gitlab-ci.yml"),
    )

    @pytest.mark.parametrize("path", DENIED)
    @pytest.mark.parametrize(
        "spelled",
        [
            pytest.param(lambda path: path, id="as it is"),
            pytest.param(str.upper, id="upper case"),
            pytest.param(str.title, id="mixed case"),
            pytest.param(lambda path: f"{path}.", id="trailing dot"),
            pytest.param(lambda path: f"{path} ", id="trailing space"),
            pytest.param(lambda path: path.replace("/", "\u200d/") + "\u200b", id="invisible"),
            pytest.param(lambda path: path.replace(".", "\uff0e"), id="full width"),
            pytest.param(lambda path: f"docs/../{path}", id="way round"),
            pytest.param(lambda path: f"{path}/../../README.md", id="passing through"),
        ],
    )
    def test_P8_a_refused_name_is_refused_in_every_spelling(
        self, workspace: Workspace, path: str, spelled: Callable[[str], str]
    ) -> None:
        assert not workspace.allows(spelled(path))

    @pytest.mark.parametrize("path", DENIED)
    def test_P8_it_is_refused_where_it_exists(
        self, workspace: Workspace, root: Path, path: str
    ) -> None:
        write(root / path, FOREIGN)
        assert_refused(workspace, path)
        assert os.path.basename(path) not in names(workspace.listing()) or "/" in path

    @pytest.mark.parametrize("path", ALLOWED)
    def test_a_name_that_only_looks_like_one_is_allowed(
        self, workspace: Workspace, root: Path, path: str
    ) -> None:
        write(root / path, "here")
        assert workspace.allows(path)
        assert workspace.read(path, limit=100).text == "here"

    @pytest.mark.parametrize("path", [".lectern", ".lectern/history/ada/1.ndjson", ".LECTERN/x"])
    def test_P8_the_state_folder_is_hidden(self, root: Path, path: str) -> None:
        write(root / ".lectern/history/ada/1.ndjson", FOREIGN)
        workspace = Workspace(root, hidden=[root / ".lectern"])
        assert_refused(workspace, path)
        assert not workspace.allows(path)
        assert names(workspace.listing()) == ["docs", "README.md"]

    def test_P8_what_begins_like_the_state_folder_is_not_hidden(self, root: Path) -> None:
        workspace = Workspace(root, hidden=[Path(".lectern")])
        assert workspace.allows(".lectern.md")
        assert workspace.allows("docs/.lectern")
        assert not workspace.allows(".lectern")

    def test_P8_the_state_folder_is_hidden_under_each_of_its_names(
        self, root: Path, tmp_path: Path
    ) -> None:
        write(root / "state/real/secret.md", FOREIGN)
        (root / ".lectern").symlink_to("state/real")
        (tmp_path / "alias").symlink_to(root)
        workspace = Workspace(tmp_path / "alias", hidden=[tmp_path / "alias/.lectern"])
        assert_refused(workspace, ".lectern/secret.md")
        assert_refused(workspace, "state/real/secret.md")
        assert not workspace.allows(".lectern/secret.md")
        assert not workspace.allows("state/real/secret.md")
        assert workspace.kind("state") == "folder"

    def test_a_hidden_path_outside_changes_nothing(self, root: Path, tmp_path: Path) -> None:
        assert Workspace(root, hidden=[tmp_path / "state"]).hidden == ()

    def test_a_hidden_root_hides_everything(self, root: Path) -> None:
        assert_refused(Workspace(root, hidden=[root]), "README.md")


class TestReading:
    def test_a_file_says_what_it_is(self, workspace: Workspace, root: Path) -> None:
        os.utime(root / "README.md", (1_700_000_000, 1_700_000_000))
        assert workspace.read("README.md", limit=100) == File(
            path="README.md", data=b"# Widgets\n", size=10, modified=1_700_000_000, truncated=False
        )

    @pytest.mark.parametrize(("limit", "is_cut"), [(9, True), (10, False), (11, False), (0, True)])
    def test_P16_no_more_than_the_limit_is_kept(
        self, workspace: Workspace, limit: int, is_cut: bool
    ) -> None:
        file = workspace.read("README.md", limit=limit)
        assert file.data == b"# Widgets\n"[:limit]
        assert file.truncated is is_cut
        assert file.size == 10

    def test_P16_a_file_of_2_GB_is_read_as_fast_as_a_small_one(
        self, workspace: Workspace, root: Path
    ) -> None:
        os.truncate(root / "README.md", 2 << 30)
        begun = time.monotonic()
        file = workspace.read("README.md", limit=1000)
        assert time.monotonic() - begun < 5
        assert (len(file.data), file.size, file.truncated) == (1000, 2 << 30, True)

    @pytest.mark.parametrize(
        ("data", "is_binary"),
        [
            (b"", False),
            (b"plain\n", False),
            ("Grüße, 你好".encode(), False),
            ("Fahrvergnügen und Müßiggang".encode("latin-1"), False),
            (b"text\0", True),
            (b"x" * 8191 + b"\0", True),
            (b"x" * 8192 + b"\0", False),
            ("text".encode("utf-16"), True),
            (bytes(range(128, 256)) * 4, True),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", True),
        ],
    )
    def test_binary_is_told_from_text(self, data: bytes, is_binary: bool) -> None:
        assert file_of(data).is_binary is is_binary

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"plain\r\n", "plain\r\n"),
            (b"\xef\xbb\xbf# Title", "# Title"),
            (b"\xef\xbb\xbf", ""),
            (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
            (b"a\xc3", "a\N{REPLACEMENT CHARACTER}"),
            ("ü\ufeff".encode(), "ü\ufeff"),
        ],
    )
    def test_text_is_utf_8_whatever_the_bytes(self, data: bytes, text: str) -> None:
        assert file_of(data).text == text

    def test_a_character_cut_by_the_limit_is_left_out(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / "a.md", "aü")
        assert workspace.read("a.md", limit=2).text == "a"

    def test_the_hash_is_that_of_the_bytes(self) -> None:
        assert file_of(b"abc").sha256.startswith("ba7816bf")

    def test_refusals_leave_no_descriptor_open(self, workspace: Workspace, root: Path) -> None:
        (root / "loop").symlink_to("loop")
        (root / "up").symlink_to("docs/../docs/deep/../../README.md")
        os.link(root / "docs/guide.md", root / "twin.md")
        paths = ["loop", "twin.md", "missing", "docs/missing", "README.md/x", "README.md/", ".env"]
        before = os.listdir("/proc/self/fd")
        for path in paths * 20:
            assert_refused(workspace, path)
            workspace.read("up", limit=10)
            workspace.kind("up")
        assert len(os.listdir("/proc/self/fd")) == len(before)


def file_of(data: bytes) -> File:
    return File(path="a.md", data=data, size=len(data), modified=0, truncated=False)


class TestListing:
    def test_folders_come_first_and_case_does_not_matter(
        self, workspace: Workspace, root: Path
    ) -> None:
        for name in ("b.md", "A.md", "c/x", "Z/x"):
            write(root / name, "x")
        listing = workspace.listing()
        assert names(listing) == ["c", "docs", "Z", "A.md", "b.md", "README.md"]
        assert listing[0] == Entry("c", "c", "folder")
        assert listing[-1] == Entry("README.md", "README.md", "file")

    @pytest.mark.parametrize(
        ("files", "index"),
        [
            (["README.md", "index.md"], "docs/x/README.md"),
            (["Index.md", "a.md"], "docs/x/Index.md"),
            (["readme.txt", "b.md"], "docs/x/readme.txt"),
            (["readme.md", "README.md"], "docs/x/README.md"),
            (["a.md"], None),
            ([], None),
        ],
    )
    def test_the_index_of_a_folder(
        self, workspace: Workspace, root: Path, files: list[str], index: str | None
    ) -> None:
        (root / "docs/x").mkdir()
        for name in files:
            write(root / "docs/x" / name, "x")
        assert workspace.index_of("docs/x") == index

    def test_a_folder_named_like_an_index_is_none(self, workspace: Workspace, root: Path) -> None:
        (root / "docs/README.md").mkdir()
        assert workspace.index_of("docs") is None

    def test_10000_entries_are_listed_and_no_more(self, workspace: Workspace, root: Path) -> None:
        (root / "many").mkdir()
        for number in range(policy.MAX_ENTRIES + 5):
            os.close(os.open(root / f"many/{number:05}.md", os.O_CREAT | os.O_WRONLY, 0o644))
        begun = time.monotonic()
        assert len(workspace.listing("many")) == policy.MAX_ENTRIES
        assert time.monotonic() - begun < 5


class TestWhatGitIgnores:
    @pytest.fixture
    def root(self, root: Path) -> Path:
        repository(root, ignored="*.log\n/build/\nkept.*\n!important.log\n")
        for name in ("a.log", "important.log", "build/page.md", "docs/b.log", "kept.md"):
            write(root / name, "x")
        git(root, "add", "-f", "kept.md")
        return root

    def test_it_is_not_listed(self, workspace: Workspace) -> None:
        listed = [".gitignore", "important.log", "kept.md", "README.md"]
        assert names(workspace.listing()) == ["docs", *listed]
        assert names(workspace.listing("docs")) == ["deep", "guide.md"]

    def test_it_is_read_when_asked_for_by_its_path(self, workspace: Workspace) -> None:
        assert workspace.read("build/page.md", limit=10).text == "x"

    def test_many_paths_are_one_question(self, workspace: Workspace) -> None:
        asked = [
            "a.log",
            "README.md",
            "build/page.md",
            "build",
            "docs/b.log",
            "kept.md",
            "gone.log",
        ]
        expected = {"a.log", "build/page.md", "build", "docs/b.log", "gone.log"}
        assert workspace.ignored(asked) == expected

    @pytest.mark.parametrize(
        "path", ["", "..", "../x.log", "/a.log", "a\0.log", "\ud800.log", ".git", ":(top)a.log"]
    )
    def test_a_path_that_cannot_be_asked_about_spoils_no_answer(
        self, workspace: Workspace, path: str
    ) -> None:
        assert "a.log" in workspace.ignored([path, "a.log"])

    @pytest.mark.parametrize(
        "name", [":x.log", "-x.log", "--stdin.log", '"x.log', " x.log", "ü.log"]
    )
    def test_P9_a_name_is_data_to_git(self, workspace: Workspace, root: Path, name: str) -> None:
        write(root / name, "x")
        assert workspace.is_ignored(name)
        assert name not in names(workspace.listing())

    def test_a_link_is_as_ignored_as_its_target(self, workspace: Workspace, root: Path) -> None:
        (root / "page.md").symlink_to("build/page.md")
        (root / "manual").symlink_to("docs")
        assert workspace.is_ignored("page.md")
        assert workspace.is_ignored("manual/b.log")
        assert not workspace.is_ignored("manual/guide.md")

    def test_a_folder_with_a_tracked_file_is_listed(self, workspace: Workspace, root: Path) -> None:
        write(root / "build/deep/tracked.md", "x")
        git(root, "add", "-f", "build/deep/tracked.md")
        assert names(workspace.listing("build")) == ["deep"]
        assert names(workspace.listing("build/deep")) == ["tracked.md"]

    def test_a_nested_repository_has_its_own_rules(self, workspace: Workspace, root: Path) -> None:
        repository(root / "vendor/lib", ignored="*.tmp\n")
        write(root / "vendor/lib/a.tmp", "x")
        write(root / "vendor/lib/a.log", "x")
        assert names(workspace.listing("vendor/lib")) == [".gitignore", "a.log"]

    def test_a_submodule_has_its_own_rules(self, workspace: Workspace, root: Path) -> None:
        repository(root / "sub", ignored="*.tmp\n")
        git(root / "sub", "add", ".")
        git(root / "sub", "commit", "-q", "-m", "begin")
        git(root, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
        write(root / "sub/a.tmp", "x")
        write(root / "a.log", "x")
        assert workspace.ignored(["sub/a.tmp", "sub", "a.log"]) == {"sub/a.tmp", "a.log"}

    def test_a_worktree_in_an_ignored_folder_is_ignored(
        self, workspace: Workspace, root: Path
    ) -> None:
        git(root, "add", "README.md")
        git(root, "commit", "-q", "-m", "begin")
        git(root, "worktree", "add", "-q", "build/tree")
        assert workspace.ignored(["build/tree/README.md"]) == {"build/tree/README.md"}

    def test_a_worktree_served_as_the_root_knows_the_rules(
        self, root: Path, tmp_path: Path
    ) -> None:
        git(root, "add", ".gitignore")
        git(root, "commit", "-q", "-m", "begin")
        git(root, "worktree", "add", "-q", str(tmp_path / "tree"))
        write(tmp_path / "tree/a.log", "x")
        write(tmp_path / "tree/b.out", "x")
        workspace = Workspace(tmp_path / "tree")
        settle(tmp_path)
        assert names(workspace.listing()) == [".gitignore", "b.out", "kept.md"]
        write(root / ".git/info/exclude", "*.out\n")
        assert names(workspace.listing()) == [".gitignore", "kept.md"]

    def test_a_root_below_the_top_follows_the_rules_of_the_top(self, root: Path) -> None:
        assert names(Workspace(root / "docs").listing()) == ["deep", "guide.md"]

    def test_a_root_that_is_ignored_itself_is_a_world_of_its_own(self, root: Path) -> None:
        write(root / "build/a.log", "x")
        assert names(Workspace(root / "build").listing()) == ["a.log", "page.md"]

    def test_a_program_named_in_the_repository_is_not_run(
        self, workspace: Workspace, root: Path, tmp_path: Path
    ) -> None:
        program = write(tmp_path / "evil", f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        program.chmod(0o755)
        for setting in ("core.fsmonitor", "core.pager", "core.sshCommand", "alias.check-ignore"):
            git(root, "config", setting, str(program))
        assert workspace.is_ignored("a.log")
        assert not (tmp_path / "ran").exists()

    def test_the_ignore_file_of_the_person_does_not_count(
        self, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "home/.config/git/ignore", "*.md\n")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert not workspace.is_ignored("README.md")

    def test_without_git_nothing_is_ignored(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        assert workspace.ignored(["a.log"]) == frozenset()
        assert "a.log" in names(workspace.listing())

    def test_a_git_found_by_a_relative_path_is_not_run(
        self, workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(root / "git", "#!/bin/sh\necho ran >ran\n").chmod(0o755)
        monkeypatch.chdir(root)
        monkeypatch.setenv("PATH", ".")
        assert workspace.ignored(["a.log"]) == frozenset()
        assert not (root / "ran").exists()

    def test_a_broken_repository_ignores_nothing(self, workspace: Workspace, root: Path) -> None:
        shutil.rmtree(root / ".git")
        os.mkfifo(root / ".git")
        assert "a.log" in names(workspace.listing())


def settle(folder: Path) -> None:
    """As if everything had been written a while ago, beyond the clock's grain."""
    for place, _, files in os.walk(folder):
        for name in (".", *files):
            os.utime(
                os.path.join(place, name), (1_700_000_000, 1_700_000_000), follow_symlinks=False
            )


class TestRememberedListings:
    """A listing costs no process as long as nothing changed."""

    @pytest.fixture
    def asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        """Counts the questions to git, by a git that keeps a tally."""
        tally = write(tmp_path / "tally", "")
        shim = f'#!/bin/sh\necho "$*" >>{tally}\nexec {shutil.which("git")} "$@"\n'
        write(tmp_path / "bin/git", shim).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        return lambda: tally.read_text().count("check-ignore")

    @pytest.fixture
    def root(self, root: Path) -> Path:
        repository(root, ignored="*.log\n")
        write(root / "docs/a.log", "x")
        write(root / "docs/b.out", "x")
        git(root, "add", "README.md")
        settle(root)
        return root

    def test_the_second_listing_asks_nothing(
        self, workspace: Workspace, asked: Callable[[], int]
    ) -> None:
        first = workspace.listing("docs")
        assert asked() == 1
        assert workspace.listing("docs") is first
        assert workspace.index_of("docs") is None
        assert asked() == 1

    @pytest.mark.parametrize(
        ("change", "listed"),
        [
            pytest.param(
                lambda root: write(root / "docs/new.md", "x"),
                ["deep", "b.out", "guide.md", "new.md"],
                id="a new file",
            ),
            pytest.param(
                lambda root: write(root / ".gitignore", "*.out\n"),
                ["deep", "a.log", "guide.md"],
                id="rules of the root",
            ),
            pytest.param(
                lambda root: write(root / "docs/.gitignore", "*.out\n"),
                ["deep", ".gitignore", "guide.md"],
                id="rules of the folder",
            ),
            pytest.param(
                lambda root: write(root / ".git/info/exclude", "b.*\n"),
                ["deep", "guide.md"],
                id="rules kept apart",
            ),
            pytest.param(
                lambda root: git(root, "add", "-f", "docs/a.log"),
                ["deep", "a.log", "b.out", "guide.md"],
                id="a file is tracked",
            ),
            pytest.param(
                lambda root: shutil.rmtree(root / ".git"),
                ["deep", "a.log", "b.out", "guide.md"],
                id="no repository any more",
            ),
        ],
    )
    def test_a_change_is_seen(
        self,
        workspace: Workspace,
        root: Path,
        change: Callable[[Path], object],
        listed: list[str],
    ) -> None:
        assert names(workspace.listing("docs")) == ["deep", "b.out", "guide.md"]
        change(root)
        assert names(workspace.listing("docs")) == listed

    def test_a_change_to_the_rules_of_a_folder_above_is_seen(
        self, workspace: Workspace, root: Path
    ) -> None:
        write(root / "docs/.gitignore", "nothing\n")
        settle(root)
        assert names(workspace.listing("docs/deep/er")) == ["page.md"]
        write(root / "docs/.gitignore", "page.md\n")
        assert names(workspace.listing("docs/deep/er")) == []

    def test_a_folder_that_has_just_changed_is_looked_at_again(
        self, workspace: Workspace, root: Path, asked: Callable[[], int]
    ) -> None:
        tomorrow = time.time() + 86_400
        os.utime(root / "docs", (tomorrow, tomorrow))
        workspace.listing("docs")
        workspace.listing("docs")
        assert asked() == 2

    def test_the_listing_looked_at_longest_ago_is_forgotten(self) -> None:
        listings = Listings(room=10)
        entries = (Entry("a", "a", "file"),) * 3
        for folder in ("first", "second"):
            listings.put(folder, (), entries, now=0)
        assert listings.get("first", ()) is entries
        listings.put("third", (), entries, now=0)
        assert listings.get("second", ()) is None
        assert listings.get("first", ()) is entries
        assert listings.get("third", ()) is entries

    def test_one_that_is_too_large_is_not_remembered(self) -> None:
        listings = Listings(room=10)
        listings.put("large", (), (Entry("a", "a", "file"),) * 10, now=0)
        assert listings.get("large", ()) is None
        listings.put("small", (), (), now=0)
        assert listings.get("small", ()) == ()
