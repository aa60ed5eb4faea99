from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from service_sources import Release, SourceError, pack, prune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def put(archive: tarfile.TarFile, name: str, content: bytes = b"x\n", *, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def link(archive: tarfile.TarFile, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    archive.addfile(member)


def tarball(path: Path, add: Callable[[tarfile.TarFile], None], packer: str = "gz") -> Path:
    with tarfile.open(path, f"w:{packer}") as archive:  # type: ignore[call-overload]
        add(archive)
    return path


def usual(archive: tarfile.TarFile) -> None:
    put(archive, "web-1.4/start.sh", b"#!/bin/sh\n", mode=0o4755)
    put(archive, "web-1.4/static/page.html")
    link(archive, "web-1.4/link", "static/page.html")
    link(archive, "web-1.4/hard", "web-1.4/static/page.html", tarfile.LNKTYPE)


def twice(archive: tarfile.TarFile) -> None:
    put(archive, "a")
    put(archive, "a/b")


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def release_of(path: Path, cache: Path, setup: str = "") -> Release:
    return pack("web", {"archive": str(path), "sha256": sum_of(path)}, setup, cache)


def held_by(release: Release) -> dict[str, str]:
    with tarfile.open(release.archive) as archive:
        return {member.name: oct(member.mode) for member in archive if not member.isdir()}


@pytest.mark.parametrize("packer", ["", "gz", "bz2", "xz"])
def test_tar_is_unpacked_without_the_folder_around_it(tmp_path: Path, cache: Path, packer: str) -> None:
    release = release_of(tarball(tmp_path / "web", usual, packer), cache)
    assert held_by(release) == {"hard": "0o644", "link": "0o777", "start.sh": "0o755", "static/page.html": "0o644"}
    assert release.origin == str(tmp_path / "web")


def test_zip_is_the_same_release_as_the_folder_it_was_made_of(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "web"
    (folder / "static").mkdir(parents=True)
    (folder / "start.sh").write_text("#!/bin/sh\n")
    (folder / "start.sh").chmod(0o755)
    (folder / "static/page.html").write_text("x\n")
    (folder / "link").symlink_to("static/page.html")
    with zipfile.ZipFile(tmp_path / "web.zip", "w") as archive:
        for name in ("start.sh", "static/page.html"):
            archive.write(folder / name, f"web/{name}")
        member = zipfile.ZipInfo("web/link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "static/page.html")
    release = release_of(tmp_path / "web.zip", cache)
    assert release.release == pack("web", {"path": str(folder)}, "", cache).release


def test_several_folders_stay_what_they_are(tmp_path: Path, cache: Path) -> None:
    def add(archive: tarfile.TarFile) -> None:
        put(archive, "./bin/run")
        put(archive, "./lib/part")

    assert set(held_by(release_of(tarball(tmp_path / "x", add), cache))) == {"bin/run", "lib/part"}


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda archive: put(archive, "../x"), r"holds \.\./x, which does not lie below"),
        (lambda archive: put(archive, "a/../../x"), r"which does not lie below"),
        (lambda archive: put(archive, "/etc/passwd"), r"holds /etc/passwd, which does not lie below"),
        (lambda archive: link(archive, "pipe", "", tarfile.FIFOTYPE), "pipe is a device or the like"),
        (lambda archive: link(archive, "sda", "", tarfile.BLKTYPE), "sda is a device or the like"),
        (lambda archive: link(archive, "x", "/etc/passwd"), "x links to /etc/passwd, outside"),
        (lambda archive: link(archive, "x", "../y"), r"x links to \.\./y, outside"),
        (
            lambda archive: link(archive, "x", "/etc/passwd", tarfile.LNKTYPE),
            "x is a hard link to /etc/passwd, which is no file in it",
        ),
        (twice, "a/b, which lies below what is a file"),
        (lambda archive: None, "holds no files"),
    ],
)
def test_members_that_no_release_can_hold_are_refused(
    tmp_path: Path, cache: Path, add: Callable[[tarfile.TarFile], None], words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        release_of(tarball(tmp_path / "bad.tar.gz", add), cache)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x1f\x8b\x08\x00broken", b"BZh9", b"\xfd7zXZ\x00"])
def test_what_is_no_archive_is_refused(tmp_path: Path, cache: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(SourceError, match=r"service web: .*/bad cannot be read: .*; it has to be a tar file"):
        release_of(tmp_path / "bad", cache)


def test_wrong_checksum_names_both(tmp_path: Path, cache: Path) -> None:
    path = tarball(tmp_path / "web.tar.gz", usual)
    with pytest.raises(SourceError, match=f"has the SHA-256 {sum_of(path)}, source.sha256 says {'0' * 64};"):
        pack("web", {"archive": str(path), "sha256": "0" * 64}, "", cache)
    with pytest.raises(SourceError, match=r"no archive .*/missing; put it there"):
        pack("web", {"archive": str(tmp_path / "missing"), "sha256": "0" * 64}, "", cache)


class Files(BaseHTTPRequestHandler):
    """Sends `content` below /web.tar.gz to those who log in, half of it below /half."""

    content = b""
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        if self.headers["Authorization"] != "Basic bWU6YSBi":
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content if self.path == "/web.tar.gz?token=secret" else self.content[:20])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    Files.content, Files.asked = tarball(tmp_path / "served", usual).read_bytes(), 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_address_is_fetched_once_and_its_secrets_stay_secret(address: str, tmp_path: Path, cache: Path) -> None:
    source = {"archive": f"http://me:a%20b@{address}/web.tar.gz?token=secret", "sha256": sum_of(tmp_path / "served")}
    first = pack("web", source, "", cache)
    assert first.origin == f"http://{address}/web.tar.gz"
    assert pack("web", source, "", cache) == first
    assert Files.asked == 1
    (download,) = cache.glob("*.download")
    download.write_bytes(b"damaged")
    assert pack("web", source, "", cache) == first
    assert Files.asked == 2
    os.utime(download, (1, 1))
    prune(cache, "web", 2)
    assert not download.exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("me:a%20b@HOST/web.tar.gz?token=secret", "what http://HOST/web.tar.gz sends has the SHA-256 [0-9a-f]{64}, "),
        ("me:a%20b@HOST/half", "cannot fetch http://HOST/half: the connection broke off"),
        ("me:no@HOST/web.tar.gz", "cannot fetch http://HOST/web.tar.gz: it answers 401 Unauthorized"),
        ("127.0.0.1:1/web.tar.gz", "cannot fetch http://127.0.0.1:1/web.tar.gz: Connection refused"),
    ],
)
def test_address_that_does_not_give_what_it_should(address: str, cache: Path, path: str, words: str) -> None:
    source = {"archive": f"http://{path.replace('HOST', address)}", "sha256": "0" * 64}
    with pytest.raises(SourceError, match=words.replace("HOST", address)) as caught:
        pack("web", source, "", cache)
    assert "secret" not in str(caught.value)
    assert list(cache.iterdir()) == []
