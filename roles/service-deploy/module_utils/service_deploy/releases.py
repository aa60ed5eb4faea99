"""Release folders. One counts only when its description lies beside it, which is written last."""

from __future__ import annotations

import grp
import gzip
import json
import os
import pwd
import shutil
import stat
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.commands import checked, run
from ansible.module_utils.node_state.needs import sha256_of
from ansible.module_utils.node_state.snapshot import Snapshot
from ansible.module_utils.service_deploy import images, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.service_deploy.model import Place, Service

SETUP_ENVIRONMENT = Path("/run/nexus-ops/service-deploy/setup")
SYSTEMD_RUN = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect")
SETUP_LINES = 15
LINE_LENGTH = 300
HIDEABLE = 5  # characters: a shorter value of a variable stands in too many harmless lines
ROOM = 16 << 20  # bytes left free beyond what a release needs


def description_of(place: Place, release: str) -> Path:
    """Return the file that says a release is whole, when and by whom it was brought."""
    return place.releases / f"{release}.json"


def is_whole(place: Place, release: str) -> bool:
    """Return whether a release is unpacked and set up to the end."""
    try:
        about = json.loads(description_of(place, release).read_bytes())
    except FileNotFoundError:
        return False
    there = (place.releases / release).is_dir()
    return there and (not about.get("image") or images.is_there(place, release))


def whole_ones(place: Place) -> list[str]:
    """Return the releases that lie here whole, the newest first."""
    known = sorted(place.releases.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.stem for path in known if is_whole(place, path.stem)]


def check_space(service: Service, archive_size: int) -> None:
    """Raise StateError when the release does not fit; `archive_size` in bytes."""
    folder = wanted = images.STORE if service.image else service.place.releases
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    needed = service.unpacked_size + archive_size + ROOM
    if free < needed:
        raise StateError(
            f"release {service.release} of {service.name} needs {needed >> 20} MiB below {wanted}, "
            f"{free >> 20} MiB are free; make room there and run again (nothing that runs was touched)"
        )


def install(service: Service, archive: str, sha256: str, by: str, setup_timeout: float) -> None:
    """Unpack a release and run its setup; what an interrupted run left of it is thrown away. Raises StateError.

    `archive` is empty when the node gets an image in another way.
    """
    place, release = service.place, service.release
    folder = place.releases / release
    if archive and sha256_of(Path(archive)) != sha256:
        raise StateError(f"release {release} of {service.name} did not arrive whole on this node; run again")
    _throw_away(folder)
    try:
        if service.image:
            folder.mkdir()
            (folder / images.FILE).write_text(images.bring(service, archive, setup_timeout) + "\n")
        else:
            _unpack(Path(archive), folder)
        if service.setup:
            _set_up(service, folder, setup_timeout)
        _close(folder, place.user)
        checked(["sync", "--file-system", str(folder)])  # whole also after a power cut
        about = {"service": service.name, "release": release, "time": time.time(), "by": by, "source": service.origin}
        about |= {"image": service.image} if service.image else {}
        Snapshot((json.dumps(about, indent=1) + "\n").encode()).put(description_of(place, release))
    except (OSError, EOFError, tarfile.TarError) as error:
        _throw_away(folder)
        reason = getattr(error, "strerror", None) or error
        raise StateError(
            f"cannot unpack release {release} of {service.name} in {folder}: {reason}; mend that and run again "
            "(nothing that runs was touched)"
        ) from error
    except BaseException:
        _throw_away(folder)
        raise


def _throw_away(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack what the controller packed. Its checksum was compared, so its paths are those that were checked there."""
    folder.mkdir(mode=0o755)
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as packed:
        for member in packed:
            if member.name.startswith("/") or ".." in member.name.split("/"):
                raise tarfile.TarError(f"{member.name} lies outside")
            packed.extract(member, folder, set_attrs=False, **_filter())
            if member.isfile():
                (folder / member.name).chmod(member.mode & 0o755)


def _filter() -> dict[str, Any]:
    """Return the argument that later versions of Python want; a link may lead to what comes later in the archive."""
    return {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}


def _set_up(service: Service, folder: Path, timeout: float) -> None:
    """Run the setup command as the service's user, in a unit of its own: it cannot outlive its time or this call.

    Raises StateError with its last lines.
    """
    place = service.place
    _walk(folder, place.user, owner=place.user)
    SETUP_ENVIRONMENT.mkdir(parents=True, exist_ok=True, mode=0o700)
    variables = SETUP_ENVIRONMENT / f"{service.name}.env"
    text = render.filled_in(render.environment_text(service), render.secrets_of(service))
    Snapshot(text.encode(), mode=0o600).put(variables)
    unit = f"nexus-setup-{service.name}.service"
    run(["systemctl", "stop", unit])  # of an interrupted run
    properties = {
        "User": place.user,
        "Group": place.user,
        "WorkingDirectory": folder,
        "EnvironmentFile": variables,
        "RuntimeMaxSec": f"{timeout:g}",
        "UMask": "0022",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ReadWritePaths": f"{folder} {place.home}",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "ProtectKernelTunables": "yes",
        "ProtectControlGroups": "yes",
        "RestrictSUIDSGID": "yes",
    }
    options = [f"--property={name}={value}" for name, value in properties.items()]
    began = time.monotonic()
    try:
        done = run(
            [*SYSTEMD_RUN, f"--unit={unit}", *options, "/bin/sh", "-c", service.setup.replace("$", "$$")],
            timeout=timeout + 60,
        )
    finally:
        variables.unlink(missing_ok=True)
    if done.returncode != 0:
        late = time.monotonic() - began >= timeout
        cause = f"did not end within {timeout:g} s" if late else f"failed (exit {done.returncode})"
        said = last_lines(done.stdout + done.stderr, service.environment)
        raise StateError(
            f"setup of release {service.release} of {service.name} {cause}; mend `setup` or its source and run again "
            f"(nothing that runs was touched). Its last lines:\n{said}"
        )


def last_lines(text: str, environment: Mapping[str, str], lines: int = SETUP_LINES) -> str:
    """Return the end of what a program said, indented, with the values of its variables hidden."""
    pieces = {line.strip() for value in environment.values() for line in value.splitlines()}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= HIDEABLE:
            text = text.replace(piece, "(hidden)")
    kept = [line.rstrip()[:LINE_LENGTH] for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (nothing)"


def _close(folder: Path, user: str) -> None:
    """Make a release root's, readable by its service alone, writable by nobody."""
    _walk(folder, user, owner="root")


def _walk(folder: Path, user: str, *, owner: str) -> None:
    """Give a tree to `owner`, with the group of `user`, who may read it and nobody else. Links are not followed."""
    uid, gid = pwd.getpwnam(owner).pw_uid, grp.getgrnam(user).gr_gid
    for _top, _folders, files, handle in os.fwalk(folder):
        _own(handle, ".", uid, gid)
        for name in [*files, *_folders]:
            _own(handle, name, uid, gid)


def _own(handle: int, name: str, uid: int, gid: int) -> None:
    """Change what `name` is now: whoever may write the folder can put something else in its place at any time."""
    found = os.stat(name, dir_fd=handle, follow_symlinks=False)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        os.chown(name, uid, gid, dir_fd=handle, follow_symlinks=False)
        return
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
    try:
        own = os.fstat(opened).st_mode & 0o700
        os.fchown(opened, uid, gid)
        os.fchmod(opened, own | (own & 0o500) >> 3)
    finally:
        os.close(opened)


def prune(place: Place, keep: int, spared: set[str]) -> list[str]:
    """Remove all but the `keep` newest releases and those in `spared`, and return which."""
    known = sorted(place.releases.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    kept = {path.stem for path in known[: max(keep, 1)]} | spared
    removed = [path.stem for path in known if path.stem not in kept]
    for release in removed:
        description_of(place, release).unlink()  # first: half a folder never counts
    whole = kept | {path.stem for path in known}
    halves = [path.name for path in place.releases.iterdir() if path.is_dir() and path.name not in whole]
    for release in [*removed, *halves]:
        images.forget(place, release)
        _throw_away(place.releases / release)
    return removed
