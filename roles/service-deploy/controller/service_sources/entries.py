"""What a release consists of, and its digest: the same for the same content, wherever and whenever it is packed."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING

from service_sources.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

BLOCK = 1 << 20
LFS_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(.*\n)*oid sha256:[0-9a-f]{64}\nsize [0-9]+\n"
)
LFS_POINTER_SIZE = 1024  # bytes; git-lfs takes nothing longer for a pointer


@dataclass(frozen=True)
class Entry:
    """A file or a symbolic link of a release. `path` is relative, with slashes; `target` empty: it is a file.

    Of the mode only `executable` counts: the rest depends on the umask of whoever checked the files out.
    """

    path: str
    executable: bool
    target: str
    size: int
    open: Callable[[], IO[bytes]]


def _digest(opened: Callable[[], IO[bytes]]) -> str:
    digest = hashlib.sha256()
    with opened() as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex. Raises OSError."""
    return _digest(partial(path.open, "rb"))


def digest_of(entries: Iterable[Entry]) -> str:
    """Return the SHA-256 over paths, kinds, executable bits and contents, in hex. Entries must be in order."""
    digest = hashlib.sha256()
    for entry in entries:
        if entry.target:
            kind, value = "link", entry.target
        else:
            kind, value = "program" if entry.executable else "file", _digest(entry.open)
        digest.update(f"{entry.path}\0{kind}\0{value}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def check_pointers(service: str, entries: Iterable[Entry]) -> None:
    """Raise SourceError for a file that Git LFS keeps elsewhere: what is in its place would be deployed."""
    for entry in entries:
        if entry.target or not 0 < entry.size <= LFS_POINTER_SIZE:
            continue
        with entry.open() as stream:
            if LFS_POINTER.fullmatch(stream.read()):
                raise SourceError(
                    f"service {service}: {entry.path} is a pointer of Git LFS, not the file itself; run `git lfs pull` "
                    "in a checkout and deploy that folder with source.path"
                )


def check_links(service: str, entries: Iterable[Entry]) -> None:
    """Raise SourceError for a symbolic link that leaves the release: on the worker it would point to something else."""
    for entry in entries:
        if not entry.target:
            continue
        landing = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
        if entry.target.startswith("/") or landing == ".." or landing.startswith("../"):
            raise SourceError(
                f"service {service}: {entry.path} links to {entry.target}, outside the release; "
                "put a copy in its place, or name it in .gitignore"
            )
