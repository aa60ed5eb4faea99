"""Paths as root may walk them: a link is followed only where nobody but root can have put it."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS_WRITE = 0o022
MOST_LINKS = 40  # as the kernel (path_resolution(7))


def open_folder(path: Path, *, make: bool = False) -> int:
    """Return a descriptor of the folder at an absolute `path`; with `make`, missing folders on the way are made.

    Raises StateError for a link in a folder that another account can write: it could lead anywhere, and be another one
    by the time it is followed. Raises OSError: FileNotFoundError, NotADirectoryError.
    """
    parts = list(path.parts[1:])
    here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    links = 0
    try:
        while parts:
            name = parts.pop(0)
            if make and not _is_there(name, here):
                os.mkdir(name, 0o755, dir_fd=here)
            if stat.S_ISLNK(os.lstat(name, dir_fd=here).st_mode):
                links += 1
                target = Path(_read_link(path, name, here, links))
                parts = [*target.parts[target.is_absolute() :], *parts]
                if target.is_absolute():
                    here = _replaced(here, os.open("/", os.O_RDONLY | os.O_DIRECTORY))
                continue
            here = _replaced(here, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here))
    except BaseException as error:
        os.close(here)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    return here


def make_folder(path: Path, uid: int, gid: int, mode: int) -> None:
    """Make a folder, or set the owner and mode of the one that is there. Raises as `open_folder` does."""
    handle = open_folder(path, make=True)
    try:
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


@contextmanager
def folder_of(path: Path) -> Iterator[Path]:
    """Yield `path` by another name, in which its folder cannot be exchanged for another one meanwhile.

    What is done by that name must not follow a link in its last part. Raises as `open_folder` does.
    """
    handle = open_folder(path.parent)
    try:
        yield Path(f"/proc/self/fd/{handle}", path.name)
    finally:
        os.close(handle)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _read_link(path: Path, name: str, folder: int, links: int) -> str:
    if links > MOST_LINKS:
        raise StateError(f"{path}: too many links on the way; remove one")
    found = os.fstat(folder)
    if found.st_uid != 0 or found.st_mode & OTHERS_WRITE:
        raise StateError(f"{path}: {name} is a link that an account other than root can have made; remove it")
    return os.readlink(name, dir_fd=folder)


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new
