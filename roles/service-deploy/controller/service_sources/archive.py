"""Sources of the kind `archive`: what a tar or zip file holds, out of a file here or from an address."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from service_sources.download import fetched, is_address, shown
from service_sources.entries import Entry, sha256_of
from service_sources.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKERS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
ZIP = b"PK"
UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,  # a method of packing that zipfile does not know
)


def file_of(service: str, address: str, sha256: str, cache: Path) -> Path:
    """Return the archive's file, fetched unless `cache` has it, with its checksum compared. Raises SourceError."""
    if is_address(address):
        return fetched(service, address, sha256, cache)
    path = Path(address).expanduser()
    if not path.is_file():
        raise SourceError(f"service {service}: no archive {path}; put it there, or correct source.archive in nexus.yml")
    if (found := sha256_of(path)) != sha256:
        raise SourceError(
            f"service {service}: {path} has the SHA-256 {found}, source.sha256 says {sha256}; "
            "correct the one that is wrong (nothing was touched)"
        )
    return path


def entries_of_archive(service: str, path: Path, address: str, scratch: IO[bytes]) -> list[Entry]:
    """Return what the archive holds, by path, without the one folder around it that most have.

    Folders without files are not kept, as in git. `scratch` must stay open until the entries are read. Raises
    SourceError for what is no archive, and for one that holds what cannot be part of a release.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(6)
        found = list(_in_zip(path) if begin.startswith(ZIP) else _in_tar(path, begin, scratch))
    except UNREADABLE as error:
        raise SourceError(
            f"service {service}: {shown(address)} cannot be read: {error or type(error).__name__}; "
            "it has to be a tar file, plain or packed by gzip, bzip2 or xz, or a zip file"
        ) from error
    entries = {entry.path: entry for entry in _stripped(found)}  # of two with one name, the last one counts
    for name in entries:
        if fault := _fault(name, entries):
            raise SourceError(f"service {service}: {shown(address)} holds {name}, {fault}; pack it without that")
    if not entries:
        raise SourceError(f"service {service}: {shown(address)} holds no files; pack what is to be deployed")
    return [entries[name] for name in sorted(entries)]


def _in_tar(path: Path, begin: bytes, scratch: IO[bytes]) -> Iterator[Entry]:
    for magic, unpacked in PACKERS:
        if begin.startswith(magic):
            # Entries are read in the order of their names: in a packed file that would be from the start each time.
            with unpacked(path, "rb") as stream:
                shutil.copyfileobj(stream, scratch)
            scratch.flush()
            path = Path(scratch.name)
    archive = tarfile.open(path, mode="r:")  # noqa: SIM115  read by the entries later on
    for member in archive:
        if member.isdir():
            continue
        if not (member.isfile() or member.issym() or member.islnk()):
            raise ValueError(f"{member.name} is a device or the like, which no release can hold")
        content = _linked(archive, member) if member.islnk() else member
        yield Entry(
            member.name,
            executable=bool(member.mode & 0o100),
            target=member.linkname if member.issym() else "",
            size=content.size,
            open=partial(_open_in_tar, archive, member),
        )


def _linked(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return the file that a hard link is a second name of."""
    with contextlib.suppress(KeyError):
        if (content := archive.getmember(member.linkname)).isfile():
            return content
    raise ValueError(f"{member.name} is a hard link to {member.linkname}, which is no file in it")


def _open_in_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(member))  # None only for what is no file


def _in_zip(path: Path) -> Iterator[Entry]:
    archive = zipfile.ZipFile(path)
    for member in archive.infolist():
        if member.is_dir():
            continue
        if member.flag_bits & 1:
            raise ValueError(f"{member.filename} wants a password")
        mode = member.external_attr >> 16  # 0 where it was not packed on Unix
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
            raise ValueError(f"{member.filename} is a device or the like, which no release can hold")
        yield Entry(
            member.filename,
            executable=bool(mode & stat.S_IXUSR),
            target=archive.read(member).decode("utf-8", "surrogateescape") if stat.S_ISLNK(mode) else "",
            size=0 if stat.S_ISLNK(mode) else member.file_size,
            open=partial(archive.open, member),
        )


def _stripped(entries: list[Entry]) -> list[Entry]:
    """Return the entries without `./` before their names, and without the folder that all of them lie in."""
    named = [replace(entry, path=entry.path.removeprefix("./")) for entry in entries]
    tops = {entry.path.partition("/")[0] for entry in named}
    if len(tops) != 1 or tops & {"", ".", ".."} or not all("/" in entry.path for entry in named):
        return named
    return [replace(entry, path=entry.path.partition("/")[2]) for entry in named]


def _fault(name: str, entries: dict[str, Entry]) -> str:
    """Return what is wrong with a member's name, empty when nothing is."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name:
        return "which does not lie below the archive's folder"
    if any("/".join(parts[:count]) in entries for count in range(1, len(parts))):
        return "which lies below what is a file or a link in it"
    return ""
