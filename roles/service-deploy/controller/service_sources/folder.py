"""Sources of the kind `path`: the files of a folder, without those that .gitignore names."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from service_sources.entries import Entry
from service_sources.errors import SourceError
from service_sources.programs import GitRefusedError, git

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pathspec import GitIgnoreSpec

LEFT_OUT = {".git", "__pycache__"}


def entries_of_folder(service: str, folder: Path) -> list[Entry]:
    """Return what `folder` holds, by path. Folders without files are not kept, as in git.

    Raises SourceError when the folder is missing or empty, or holds what cannot be part of a release.
    """
    if not folder.is_dir():
        raise SourceError(f"service {service}: no folder {folder}; make it, or correct source.path in nexus.yml")
    paths = _paths_by_git(service, folder) if _in_work_tree(folder) else _paths_by_walk(service, folder)
    wanted = sorted({path for path in paths if not LEFT_OUT.intersection(path.split("/"))})
    entries = [entry for path in wanted if (entry := _entry(service, folder, path)) is not None]
    if not entries:
        raise SourceError(f"service {service}: nothing to deploy in {folder}; put files there that no .gitignore names")
    return entries


def left_out_of(folder: Path, entries: Iterable[Entry]) -> list[str]:
    """Return the files and, with a slash behind them, whole folders of `folder` that .gitignore left out, by path."""
    packed = {entry.path for entry in entries}
    above = {parent.as_posix() for path in packed for parent in PurePosixPath(path).parents}
    found = []
    for top, folders, files in os.walk(folder):
        base = Path(top).relative_to(folder)
        inside = [name for name in folders if name not in LEFT_OUT]
        found += [path for name in files if (path := (base / name).as_posix()) not in packed]
        folders[:] = [name for name in inside if (base / name).as_posix() in above]
        for name in set(inside) - set(folders):
            if (base / name).as_posix() not in packed and any(names for _, _, names in os.walk(Path(top, name))):
                found.append(f"{(base / name).as_posix()}/")
    return sorted(found)


def _in_work_tree(folder: Path) -> bool:
    return any((parent / ".git").exists() for parent in (folder, *folder.resolve().parents))


def _paths_by_git(service: str, folder: Path) -> list[str]:
    """Return the files that git tracks or would track, as far as git is installed.

    A folder that its repository ignores as a whole, as ours does environments, is taken as one that is in none.
    """
    listed = git(service, "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    if not listed and _is_ignored(service, folder):
        return list(_paths_by_walk(service, folder))
    return [os.fsdecode(path) for path in listed.split(b"\0") if path]


def _is_ignored(service: str, folder: Path) -> bool:
    try:
        git(service, "-C", str(folder), "check-ignore", "--quiet", "--", ".")
    except GitRefusedError:  # git's way to say no
        return False
    return True


def _paths_by_walk(service: str, folder: Path) -> Iterator[str]:
    """Yield the files below a folder that is in no repository, without those that a .gitignore in it names."""
    specs: dict[str, GitIgnoreSpec] = {}

    def refuse(error: OSError) -> None:
        raise SourceError(
            f"service {service}: cannot read {error.filename or folder}: {error.strerror or error}; "
            "make it readable, or name it in .gitignore"
        )

    for top, folders, files in os.walk(folder, onerror=refuse):
        base = Path(top).relative_to(folder).as_posix()
        base = "" if base == "." else f"{base}/"
        if ".gitignore" in files:
            specs[base] = _read_ignore_file(service, Path(top) / ".gitignore")
        linked = [name for name in folders if (Path(top) / name).is_symlink()]
        folders[:] = [
            name
            for name in folders
            if name not in linked and name not in LEFT_OUT and not _ignored(specs, f"{base}{name}/")
        ]
        yield from (f"{base}{name}" for name in [*files, *linked] if not _ignored(specs, f"{base}{name}"))


def _read_ignore_file(service: str, path: Path) -> GitIgnoreSpec:
    try:
        from pathspec import GitIgnoreSpec

        return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines())
    except ImportError:
        raise SourceError(
            f"service {service}: reading {path} needs the Python package pathspec on the controller; install it"
        ) from None
    except (OSError, ValueError) as error:
        raise SourceError(f"service {service}: cannot read {path}: {error}; correct it") from error


def _ignored(specs: dict[str, GitIgnoreSpec], path: str) -> bool:
    """Return whether the .gitignore nearest to `path` that says something about it excludes it."""
    for base in sorted(specs, key=len, reverse=True):
        if path.startswith(base) and (verdict := specs[base].check_file(path[len(base) :]).include) is not None:
            return verdict
    return False


def _entry(service: str, folder: Path, path: str) -> Entry | None:
    """Return the entry at `path`, None when the file is gone (deleted, but still in git's index)."""
    full = folder / path
    try:
        found = full.lstat()
        if stat.S_ISLNK(found.st_mode):
            return Entry(path, executable=False, target=str(full.readlink()), size=0, open=lambda: full.open("rb"))
        if stat.S_ISREG(found.st_mode):
            with full.open("rb"):  # readable
                pass
            executable = bool(found.st_mode & stat.S_IXUSR)
            return Entry(path, executable=executable, target="", size=found.st_size, open=lambda: full.open("rb"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(
            f"service {service}: cannot read {full}: {error.strerror}; make it readable, or name it in .gitignore"
        ) from error
    if stat.S_ISDIR(found.st_mode):
        raise SourceError(
            f"service {service}: {full} is a git repository of its own (a submodule?), which is not packed; "
            "deploy from a plain copy, or name it in .gitignore"
        )
    raise SourceError(f"service {service}: {full} is no file, folder or link; remove it, or name it in .gitignore")
