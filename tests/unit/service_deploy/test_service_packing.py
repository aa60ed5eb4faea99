from __future__ import annotations

import gzip
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from service_sources import Release, SourceError, pack, prune

GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "static").mkdir(parents=True)
    (folder / "server.py").write_text("print('hello')\n")
    (folder / "start.sh").write_text("#!/bin/sh\n")
    (folder / "start.sh").chmod(0o755)
    (folder / "static/page.html").write_text("<p>\n")
    (folder / "link").symlink_to("static/page.html")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def release_of(folder: Path, cache: Path, setup: str = "") -> Release:
    return pack("web", {"path": str(folder)}, setup, cache)


def names_in(release: Release) -> set[str]:
    with tarfile.open(release.archive) as archive:
        return {member.name for member in archive if not member.isdir()}


def repository(folder: Path) -> None:
    subprocess.run([*GIT, "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    commit(folder, "first")


def commit(folder: Path, message: str) -> str:
    subprocess.run([*GIT, "-C", str(folder), "add", "--all"], check=True)
    subprocess.run([*GIT, "-C", str(folder), "commit", "--quiet", "-m", message], check=True)
    head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return head.stdout.strip()


def test_archive_holds_files_links_and_executable_bits(app: Path, cache: Path) -> None:
    release = release_of(app, cache)
    assert re.fullmatch("[0-9a-f]{12}", release.release)
    with tarfile.open(release.archive) as archive:
        members = {member.name: member for member in archive}
    assert list(members) == ["link", "server.py", "start.sh", "static", "static/page.html"]
    assert members["link"].linkname == "static/page.html"
    assert (members["start.sh"].mode, members["server.py"].mode) == (0o755, 0o644)
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}


def test_same_content_is_the_same_release_bit_for_bit(app: Path, cache: Path, tmp_path: Path) -> None:
    first = release_of(app, cache)
    for path in app.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))
    (app / "server.py").chmod(0o600)  # another umask is no other content
    (app / "empty").mkdir()
    second = release_of(app, tmp_path / "elsewhere")
    assert second.release == first.release
    assert Path(second.archive).read_bytes() == Path(first.archive).read_bytes()


@pytest.mark.parametrize("change", ["content", "name", "executable", "link", "setup"])
def test_every_difference_makes_another_release(app: Path, cache: Path, change: str) -> None:
    before = release_of(app, cache)
    if change == "content":
        (app / "server.py").write_text("print('hallo')\n")
    elif change == "name":
        (app / "server.py").rename(app / "serve.py")
    elif change == "executable":
        (app / "server.py").chmod(0o755)
    elif change == "link":
        (app / "link").unlink()
        (app / "link").symlink_to("server.py")
    after = release_of(app, cache, "make" if change == "setup" else "")
    assert after.release != before.release


def test_packed_release_is_not_packed_again(app: Path, cache: Path) -> None:
    first = release_of(app, cache)
    inode = Path(first.archive).stat().st_ino
    assert release_of(app, cache) == first
    assert Path(first.archive).stat().st_ino == inode


def test_damaged_archive_in_the_cache_is_packed_again(app: Path, cache: Path) -> None:
    first = release_of(app, cache)
    Path(first.archive).write_bytes(b"")
    assert gzip.decompress(Path(release_of(app, cache).archive).read_bytes())


@pytest.mark.parametrize("versioned", [True, False], ids=["in git", "without git"])
def test_ignored_files_are_left_out(app: Path, cache: Path, versioned: bool) -> None:
    (app / ".gitignore").write_text("*.log\n/build/\n!kept.log\n")
    (app / "a.log").touch()
    (app / "kept.log").touch()
    (app / "build").mkdir()
    (app / "build/x").touch()
    (app / "static/.gitignore").write_text("*.map\n!a.log\n")
    (app / "static/x.map").touch()
    (app / "static/a.log").touch()
    (app / "x.map").touch()
    (app / "__pycache__").mkdir()
    (app / "__pycache__/x.pyc").touch()
    if versioned:
        repository(app)
        (app / "untracked").touch()
    else:
        (app / "untracked").touch()
    assert names_in(release_of(app, cache)) == {
        *(".gitignore", "kept.log", "link", "server.py", "start.sh", "untracked", "x.map"),
        *("static/.gitignore", "static/a.log", "static/page.html"),
    }


@pytest.mark.parametrize("versioned", [True, False])
def test_what_gitignore_left_out_is_named(app: Path, cache: Path, versioned: bool) -> None:
    assert release_of(app, cache).left_out == ()
    (app / ".gitignore").write_text("dist/\n*.log\n")
    for path in ("dist/js/main.js", "static/a.log", "static/__pycache__/a.pyc", "empty/folder/"):
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            (app / path).write_text("built")
    if versioned:
        repository(app)
    release = release_of(app, cache)
    assert release.left_out == ("dist/", "static/a.log")
    assert not {"dist", "dist/js/main.js", "static/a.log"} & names_in(release)


def test_folder_that_its_repository_ignores_is_deployed(app: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("/app/\n")
    (app / ".gitignore").write_text("*.log\n")
    (app / "a.log").touch()
    repository(tmp_path)
    names = names_in(release_of(app, cache))
    assert {"server.py", "static/page.html"} <= names
    assert "a.log" not in names


def test_file_deleted_from_a_work_tree_is_left_out(app: Path, cache: Path) -> None:
    repository(app)
    (app / "server.py").unlink()
    assert "server.py" not in names_in(release_of(app, cache))


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "static/../../outside"])
def test_link_that_leaves_the_folder_is_refused(app: Path, cache: Path, target: str) -> None:
    (app / "bad").symlink_to(target)
    with pytest.raises(SourceError, match=f"service web: bad links to {target}, outside"):
        release_of(app, cache)


def test_what_cannot_be_packed_is_refused_by_name(app: Path, cache: Path, tmp_path: Path) -> None:
    os.mkfifo(app / "pipe")
    with pytest.raises(SourceError, match=r"service web: .*/pipe is no file, folder or link"):
        release_of(app, cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="service web: nothing to deploy in"):
        release_of(tmp_path / "empty", cache)
    with pytest.raises(SourceError, match=r"service web: no folder .*/missing"):
        release_of(tmp_path / "missing", cache)


def test_repository_in_a_folder_is_refused(app: Path, cache: Path) -> None:
    (app / "sub").mkdir()
    (app / "sub/x").touch()
    repository(app / "sub")
    repository(app)
    with pytest.raises(SourceError, match=r"service web: .*/sub/? is a git repository of its own"):
        release_of(app, cache)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"archive": "x.tar"}, "its source has no sha256"),
        ({}, "its source names none of path, git, archive, image"),
    ],
)
def test_what_is_no_source_is_refused(cache: Path, source: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        pack("web", source, "", cache)


def test_old_archives_go_but_not_those_of_a_namesake(app: Path, cache: Path) -> None:
    for number in range(4):
        (app / "server.py").write_text(f"{number}\n")
        last = release_of(app, cache)
        os.utime(cache / f"web-{last.release}.json", (number, number))
    other = pack("web-2", {"path": str(app)}, "", cache)
    prune(cache, "web", 2)
    assert len(list(cache.glob("web-*.tar.gz"))) == 3
    assert Path(last.archive).exists()
    assert Path(other.archive).exists()


@pytest.fixture
def origin(app: Path) -> Path:
    repository(app)
    return app


def from_git(origin: Path, ref: str, cache: Path) -> Release:
    return pack("web", {"git": f"file://{origin}", "ref": ref}, "", cache)


def test_branch_tag_and_commit_are_found(origin: Path, cache: Path) -> None:
    first = commit_of(origin)
    subprocess.run([*GIT, "-C", str(origin), "tag", "-a", "-m", "x", "v1"], check=True)
    subprocess.run([*GIT, "-C", str(origin), "switch", "--quiet", "-c", "feature/x"], check=True)
    (origin / "server.py").write_text("2\n")
    commit(origin, "second")
    releases = {ref: from_git(origin, ref, cache).release for ref in ("main", "v1", first, first[:10], "feature/x")}
    assert len({releases[ref] for ref in ("main", "v1", first, first[:10])}) == 1
    assert releases["feature/x"] != releases["main"]


def test_git_and_folder_of_the_same_content_are_the_same_release(origin: Path, cache: Path) -> None:
    assert from_git(origin, "main", cache).release == release_of(origin, cache).release


def test_branch_that_moves_is_another_release(origin: Path, cache: Path) -> None:
    before = from_git(origin, "main", cache)
    (origin / "server.py").write_text("2\n")
    commit(origin, "second")
    assert from_git(origin, "main", cache).release != before.release


def test_commit_that_was_fetched_needs_no_repository(origin: Path, cache: Path, tmp_path: Path) -> None:
    first = commit_of(origin)
    before = from_git(origin, first, cache)
    origin.rename(tmp_path / "gone")
    assert from_git(origin, first, cache).release == before.release


def test_unknown_ref_and_missing_repository_are_named(origin: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"service web: file://.* has no branch, tag or commit nope; correct source.ref"
    ):
        from_git(origin, "nope", cache)
    with pytest.raises(SourceError, match=r"service web: cannot read the repository file://.*/none:"):
        from_git(tmp_path / "none", "main", cache)


def test_credentials_of_a_repository_are_not_shown(cache: Path) -> None:
    with pytest.raises(SourceError) as caught:
        pack("web", {"git": "https://user:geheim@127.0.0.1:9/x.git", "ref": "main"}, "", cache)
    assert "geheim" not in str(caught.value)


def served(origin: Path, monkeypatch: pytest.MonkeyPatch, *, any_commit: bool) -> str:
    """Return an address of `origin` whose server sends any commit, or those alone that a branch or tag points to."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.version")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "2" if any_commit else "0")  # version 2 lets everybody ask for anything
    return f"file://{origin}"


@pytest.mark.parametrize("any_commit", [True, False])
@pytest.mark.parametrize("digits", [7, 40])
def test_older_commits_are_found_after_the_newest(
    origin: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, any_commit: bool, digits: int
) -> None:
    commits = [subprocess.check_output(["git", "-C", str(origin), "rev-parse", "HEAD"], text=True).strip()]
    for text in ("two", "three", "four"):
        (origin / "server.py").write_text(text)
        commits.append(commit(origin, text))
    address = served(origin, monkeypatch, any_commit=any_commit)
    pack("web", {"git": address, "ref": "main"}, "", cache)
    for older in reversed(commits):
        assert older in pack("web", {"git": address, "ref": older[:digits]}, "", cache).origin


@pytest.mark.parametrize("any_commit", [True, False])
@pytest.mark.parametrize("digits", [7, 40])
def test_commit_of_a_pull_request_is_found(
    origin: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, any_commit: bool, digits: int
) -> None:
    (origin / "server.py").write_text("pulled")
    pulled = commit(origin, "pulled")
    run = ["git", "-C", str(origin)]
    subprocess.run([*run, "update-ref", "refs/pull/1/head", pulled], check=True)
    subprocess.run([*run, "reset", "--quiet", "--hard", "HEAD~1"], check=True)
    address = served(origin, monkeypatch, any_commit=any_commit)
    pack("web", {"git": address, "ref": "main"}, "", cache)
    assert pulled in pack("web", {"git": address, "ref": pulled[:digits]}, "", cache).origin
    with pytest.raises(SourceError, match="no branch, tag or commit 0000000"):
        pack("web", {"git": address, "ref": "0000000"}, "", cache)


def test_branch_that_is_gone_is_not_deployed(origin: Path, cache: Path) -> None:
    run = ["git", "-C", str(origin)]
    subprocess.run([*run, "branch", "old"], check=True)
    assert from_git(origin, "old~0", cache)  # not a name that the server knows: all branches are fetched
    subprocess.run([*run, "branch", "-D", "--quiet", "old"], check=True)
    with pytest.raises(SourceError, match="no branch, tag or commit old"):
        from_git(origin, "old", cache)


def test_release_of_a_commit_holds_what_its_checkout_holds(origin: Path, cache: Path) -> None:
    (origin / "config").mkdir()
    (origin / "config/app.yml").write_text("a: 1\n")
    (origin / "version.txt").write_text("$Format:%H$\n")
    (origin / ".gitattributes").write_text("config export-ignore\n*.yml export-ignore\nversion.txt export-subst\n")
    commit(origin, "attributes")
    release = from_git(origin, "main", cache)
    assert {"config/app.yml", "version.txt", ".gitattributes"} <= names_in(release)
    assert release.release == release_of(origin, cache).release


def test_pointer_of_git_lfs_is_refused(origin: Path, cache: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (origin / "about-lfs.txt").write_text(f"A pointer looks like this:\n{pointer}")
    (origin / "model.bin").write_text(pointer)
    commit(origin, "model")
    for source in ({"git": str(origin), "ref": "main"}, {"path": str(origin)}):
        with pytest.raises(SourceError, match=r"model\.bin is a pointer of Git LFS.*git lfs pull"):
            pack("web", source, "", cache)


def test_submodule_is_refused(origin: Path, cache: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "x").touch()
    repository(library)
    subprocess.run(
        [
            *GIT,
            "-c",
            "protocol.file.allow=always",
            "-C",
            str(origin),
            "submodule",
            "--quiet",
            "add",
            str(library),
            "lib",
        ],
        check=True,
    )
    commit(origin, "submodule")
    with pytest.raises(SourceError, match="has a submodule at lib"):
        from_git(origin, "main", cache)


def commit_of(folder: Path) -> str:
    head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return head.stdout.strip()
