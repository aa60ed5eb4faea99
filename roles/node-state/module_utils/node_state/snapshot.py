"""What is at a path, how to put it back, and how to replace it so that no reader sees half of it."""

from __future__ import annotations

import base64
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.node_state.paths import folder_of

NEW = "nexus-new"
OLD = "nexus-old"


def sibling(path: Path, suffix: str) -> Path:
    """Return the hidden name beside `path` that is used while it is replaced (always the same: no litter piles up)."""
    return path.with_name(f".{path.name}.{suffix}")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _require_file(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no file")


@dataclass(frozen=True)
class Snapshot:
    """A file, a symbolic link or nothing. Both `content` and `target` None: nothing is there."""

    content: bytes | None = None
    target: str | None = None
    uid: int = 0
    gid: int = 0
    mode: int = 0o644

    @classmethod
    def of(cls, path: Path) -> Snapshot:
        """Return what is at `path` now. Raises OSError, IsADirectoryError for a folder, and as `folder_of` does."""
        try:
            with folder_of(path) as spot:
                found = spot.lstat()
                if stat.S_ISLNK(found.st_mode):
                    return cls(target=str(spot.readlink()))
                _require_file(found.st_mode)
                handle = os.open(spot, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as stream:
                found = os.fstat(handle)
                return cls(stream.read(), None, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except OSError as error:
            error.filename = str(path)
            raise

    @property
    def exists(self) -> bool:
        """Whether there is anything."""
        return self.content is not None or self.target is not None

    def stage(self, path: Path) -> Path:
        """Write this beside `path`, synced to disk, and return where.

        Leaves nothing behind on OSError, which names `path`: a write that fails for lack of room does not by itself.
        """
        staged = sibling(path, NEW)
        staged.unlink(missing_ok=True)
        if self.target is not None:
            staged.symlink_to(self.target)
            return staged
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(self.content or b"")
                stream.flush()
                os.fchown(stream.fileno(), self.uid, self.gid)
                os.fchmod(stream.fileno(), self.mode)
                os.fsync(stream.fileno())
        except OSError as error:
            staged.unlink(missing_ok=True)
            error.filename = error.filename or str(path)
            raise
        return staged

    def put(self, path: Path) -> None:
        """Make `path` what this is, in one step. Raises OSError, and as `folder_of` does."""
        try:
            with folder_of(path) as spot:
                if self.exists:
                    self.stage(spot).replace(spot)
                else:
                    spot.unlink(missing_ok=True)
                sync_folder(spot.parent)
        except OSError as error:
            error.filename, error.filename2 = str(path), None
            raise

    def to_dict(self) -> dict[str, Any]:
        """Return this as JSON can hold it."""
        content = None if self.content is None else base64.b64encode(self.content).decode()
        return {"content": content, "target": self.target, "uid": self.uid, "gid": self.gid, "mode": self.mode}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Snapshot:
        """Return what `to_dict` was made of."""
        content = None if data["content"] is None else base64.b64decode(data["content"])
        return cls(content, data["target"], data["uid"], data["gid"], data["mode"])
