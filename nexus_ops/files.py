"""Files that are either the old ones or the new ones, never half of one."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` by `text` in one step, with `mode`. Raises OSError that names `path`; the old file stays then."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            os.fchmod(descriptor, mode)
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # of a write, as for lack of room
            error.filename = str(path)
        raise


def read_text(path: Path) -> str:
    """Return the UTF-8 text of `path` with its line ends as they are. Raises OSError, UnicodeDecodeError."""
    return path.read_bytes().decode("utf-8")


def rewrite(path: Path, text: str) -> None:
    """Replace a person's file: like `write_atomically`, but the mode stays, and a symbolic link leads to it still."""
    target = path.resolve()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    write_atomically(target, text, mode=mode)


@contextlib.contextmanager
def named_pipe(text: str) -> Iterator[Path]:
    """Yield a path that `text` can be read from once. It is never on a disk, and gone when this process is killed.

    (A variable of the environment would not do: ansible-runner writes those to a file.)
    """
    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:  # mode 0700
        path = Path(folder) / "variables.json"
        os.mkfifo(path, mode=0o600)
        writer = threading.Thread(target=_write, args=(path, text), daemon=True)
        writer.start()
        try:
            yield path
        finally:
            _drain(path, writer)


def _write(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # the reader went away
        path.write_text(text, encoding="utf-8")


def _drain(path: Path, writer: threading.Thread) -> None:
    """Read what nobody has read, or else `writer` would wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while writer.is_alive():
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 65536)
            writer.join(timeout=0.01)
    finally:
        os.close(descriptor)
