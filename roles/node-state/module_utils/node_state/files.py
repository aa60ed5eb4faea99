"""Files, links, folders: compared by what is there, replaced all together or not at all."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state.accounts import gid_of, owner_of, uid_of
from ansible.module_utils.node_state.commands import last_words, run
from ansible.module_utils.node_state.errors import StateError
from ansible.module_utils.node_state.paths import folder_of, make_folder, open_folder
from ansible.module_utils.node_state.snapshot import NEW, OLD, Snapshot, sibling, sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACEHOLDER = re.compile(r"@@([A-Z][A-Z0-9_]*)@@")
OTHERS_READ = 0o004


@dataclass(frozen=True)
class Change:
    """A file that is not as wanted. `shown` is the new text with placeholders in place of secrets."""

    path: Path
    before: Snapshot
    after: Snapshot
    shown: str
    secret: bool
    options: dict[str, Any]


def fill_in(content: str, secrets: Mapping[str, str], path: Path) -> str:
    """Return `content` with every `@@NAME@@` replaced. Raises StateError for a name that `secrets` lacks."""

    def value(match: re.Match[str]) -> str:
        try:
            return secrets[match.group(1)]
        except KeyError:
            raise StateError(f"{path} refers to a secret {match.group(1)} that was not given") from None

    return PLACEHOLDER.sub(value, content)


def hide(text: str, secrets: Mapping[str, str]) -> str:
    """Return `text` with the secrets' values replaced by their placeholders."""
    for name, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        if value:
            text = text.replace(value, f"@@{name}@@")
    return text


def compare(entry: dict[str, Any], secrets: Mapping[str, str], *, check_mode: bool) -> Change | None:
    """Return the change that an entry of `files` asks for, None when all is as wanted. Raises StateError."""
    path = Path(entry["path"])
    try:
        before = Snapshot.of(path)
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    if entry["link"]:
        after = Snapshot(target=entry["link"])
        if before.target == after.target:
            return None
        return Change(path, before, after, f"link to {entry['link']}\n", secret=False, options=entry)
    content = entry["content"]
    mode = int(entry["mode"], 8)
    uid, gid = uid_of(entry["owner"]), gid_of(entry["group"])
    if not check_mode:
        uid, gid = owner_of(entry["owner"], entry["group"])
    after = Snapshot(
        fill_in(content, secrets, path).encode(), None, -1 if uid is None else uid, -1 if gid is None else gid, mode
    )
    if before == after:
        return None
    closed = before.content is not None and not before.mode & OTHERS_READ
    secret = closed or not mode & OTHERS_READ or PLACEHOLDER.search(content) is not None
    return Change(path, before, after, content, secret, entry)


def text_of(snapshot: Snapshot, secrets: Mapping[str, str]) -> str:
    """Return what a diff shows of a snapshot, empty when nothing is there."""
    if snapshot.target is not None:
        return f"link to {snapshot.target}\n"
    return hide((snapshot.content or b"").decode("utf-8", "replace"), secrets)


def attributes(snapshot: Snapshot) -> str:
    """Return owner numbers and mode in words."""
    return f"{snapshot.uid}:{snapshot.gid} {snapshot.mode:04o}"


def validate(staged: Path, change: Change) -> None:
    """Ask a program whether it would take the file. Raises StateError with its words."""
    command = change.options["validate"]
    if not command:
        return
    argv = [word.replace("%s", str(staged)) for word in shlex.split(command)]
    done = run(argv, user=change.options["validate_user"] or None)
    if done.returncode != 0:
        words = last_words(done).replace(str(staged), str(change.path))
        raise StateError(
            f"{change.path} was refused and left as it was; {argv[0]} (exit {done.returncode}) says: {words}"
        )


def land(changes: Sequence[Change]) -> list[Change]:
    """Put all changes in place; on the first failure take all of them back and raise StateError.

    Everything is on disk beside its place before the first file is replaced, so a full disk changes nothing. What was
    there is kept under a second name meanwhile: taking it back needs no space.
    """
    spots: dict[Path, Path] = {}
    landed: list[Change] = []
    with ExitStack() as folders:
        try:
            for change in changes:
                try:
                    spot = folders.enter_context(folder_of(change.path))
                    change.after.stage(spot)
                except OSError as error:
                    raise StateError(f"cannot write {change.path}: {error.strerror}; it is as it was") from error
                spots[change.path] = spot
            for change in changes:
                validate(sibling(change.path, NEW), change)
                try:
                    _replace(spots[change.path], change)
                except OSError as error:
                    raise StateError(f"cannot replace {change.path}: {error.strerror}; it is as it was") from error
                landed.append(change)
        except BaseException:
            for change in reversed(landed):
                _take_back(spots[change.path], change)
            raise
        finally:
            for spot in spots.values():
                sibling(spot, NEW).unlink(missing_ok=True)
            for change in landed:
                sibling(spots[change.path], OLD).unlink(missing_ok=True)
    return landed


def _replace(spot: Path, change: Change) -> None:
    kept = sibling(spot, OLD)
    kept.unlink(missing_ok=True)
    if change.before.exists:
        os.link(spot, kept, follow_symlinks=False)
    sibling(spot, NEW).replace(spot)
    sync_folder(spot.parent)


def _take_back(spot: Path, change: Change) -> None:
    if change.before.exists:
        sibling(spot, OLD).replace(spot)
    else:
        spot.unlink(missing_ok=True)
    sync_folder(spot.parent)


def plan_directory(entry: dict[str, Any]) -> str:
    """Return what is to be done for a folder, as a sentence; empty when all is well. Raises StateError."""
    path = Path(entry["path"])
    wanted = f"{entry['owner']}:{entry['group']} {int(entry['mode'], 8):04o}"
    try:
        handle = open_folder(path)
    except FileNotFoundError:
        return f"create folder {path} ({wanted})"
    except NotADirectoryError:
        raise StateError(f"{path} is in the way: a folder is wanted there") from None
    found = os.fstat(handle)
    os.close(handle)
    if entry.get("kept"):
        return ""
    same = (found.st_uid, found.st_gid) == (uid_of(entry["owner"]), gid_of(entry["group"]))
    if same and stat.S_IMODE(found.st_mode) == int(entry["mode"], 8):
        return ""
    return f"set owner and mode of {path} to {wanted}"


def make_directory(entry: dict[str, Any]) -> None:
    """Make a folder with its parents, or set its owner and mode. Raises StateError."""
    path = Path(entry["path"])
    uid, gid = owner_of(entry["owner"], entry["group"])
    try:
        make_folder(path, uid, gid, int(entry["mode"], 8))
    except OSError as error:
        raise StateError(f"cannot make the folder {path}: {error.strerror}") from error


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a whole tree. Raises StateError."""
    if not path.is_absolute() or len(path.parts) < 3 or ".." in path.parts:
        raise StateError(f"refusing to remove {path}: not a path of this project")
    try:
        with folder_of(path) as spot:
            if spot.is_dir() and not spot.is_symlink():
                shutil.rmtree(spot)
            else:
                spot.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.exists():
            return
        raise StateError(f"cannot remove {path}: {error.strerror}") from error
