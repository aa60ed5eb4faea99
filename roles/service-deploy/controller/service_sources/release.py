"""A release: the archive of a source, and an id that stands for its content and its setup command."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import tarfile
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from service_sources.archive import entries_of_archive, file_of
from service_sources.download import shown
from service_sources.entries import Entry, check_links, check_pointers, digest_of, sha256_of
from service_sources.errors import SourceError
from service_sources.folder import entries_of_folder, left_out_of
from service_sources.programs import without_credentials
from service_sources.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FORMAT = "1"  # part of every release id: a release made another way is another release
ROOM = 4096  # what a file or folder takes on disk beyond its content, about, in bytes
NAMED = 5  # how many of the files that were left out a message names
UNUSED = 30 * 86400.0  # seconds that a download is kept after its last use


@dataclass(frozen=True)
class Release:
    """What the workers need to know. `archive` is on the controller; sizes are in bytes; `origin` is for people.

    `left_out`, for folders alone: the first files and folders that .gitignore kept out of it.
    `image`, for container images alone: where podman finds it, the transport only when it is in `archive`.
    """

    release: str
    archive: str
    sha256: str
    archive_size: int
    unpacked_size: int
    origin: str
    image: str = ""
    left_out: tuple[str, ...] = ()


def id_of(content: str, setup: str) -> str:
    """Return the id of the release with that content, made by that setup command."""
    # length first: no setup command can pass for another content
    identity = f"{FORMAT}\0{content}\0{len(setup)}\0{setup}"
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def pack(service: str, source: dict[str, Any], setup: str, cache: Path) -> Release:
    """Pack files into `cache`, unless that content is there already, and return the release. Raises SourceError."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _entries(service, source, cache) as (origin, entries):
            left_out = tuple(left_out_of(Path(origin), entries)[:NAMED]) if source.get("path") else ()
            check_links(service, entries)
            check_pointers(service, entries)
            content = digest_of(entries)
            release = id_of(content, setup)
            known = cache / f"{service}-{release}.json"
            if (found := _read_known(known)) is not None:
                return replace(found, origin=origin, left_out=left_out)
            return replace(_write(service, release, content, origin, entries, known), left_out=left_out)
    except OSError as error:
        where = error.filename or cache
        raise SourceError(
            f"service {service}: cannot pack its release: {where}: {error.strerror or error}; "
            "mend that on the controller and run again"
        ) from error


def recall(service: str, source: dict[str, Any], release: str, cache: Path) -> Release:
    """Return an earlier release; `archive` and `origin` are empty when `cache` lacks it (workers may have it)."""
    found = _read_known(cache / f"{service}-{release}.json")
    return found or Release(release, "", "", 0, 0, "", str(source.get("image") or ""))


@contextlib.contextmanager
def _entries(service: str, source: dict[str, Any], cache: Path) -> Iterator[tuple[str, list[Entry]]]:
    """Give the origin in words and the entries in order, as long as the context lasts."""
    if source.get("archive"):
        address = str(source["archive"])
        path = file_of(service, address, str(source["sha256"]).lower(), cache)
        with tempfile.NamedTemporaryFile(dir=cache, prefix=".archive-", suffix=".tar") as scratch:
            yield shown(address), entries_of_archive(service, path, address, scratch)  # type: ignore[arg-type]
        return
    if source.get("path"):
        folder = Path(os.path.normpath(Path(str(source["path"])).expanduser()))
        yield str(folder), entries_of_folder(service, folder)
        return
    address, ref = str(source["git"]), str(source.get("ref") or "HEAD")
    repository = Repository(service, address, cache)
    commit = repository.pin(ref)
    with tempfile.NamedTemporaryFile(dir=cache, prefix=".git-", suffix=".tar") as scratch:
        entries = sorted(repository.entries(commit, scratch), key=lambda entry: entry.path)
        if not entries:
            raise SourceError(f"service {service}: commit {commit} of {without_credentials(address)} is empty")
        yield f"{without_credentials(address)} {ref} ({commit})", entries


def _read_known(known: Path) -> Release | None:
    """Return a release that was packed before, None when it or its archive is not there any more."""
    try:
        release = Release(**json.loads(known.read_bytes()))
        whole = Path(release.archive) == known.with_suffix(".tar.gz") and (
            Path(release.archive).stat().st_size == release.archive_size
        )
    except (OSError, ValueError, TypeError):
        return None
    if not whole:
        return None
    known.touch()  # in use: `prune` goes by age
    return release


def _write(service: str, release: str, content: str, origin: str, entries: Sequence[Entry], known: Path) -> Release:
    """Write the archive and then what is known of it: the one without the other is not taken for a release."""
    path = known.with_suffix(".tar.gz")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            _write_archive(stream, entries)
            stream.flush()
            _check_unchanged(service, entries, content)
            Path(stream.name).replace(path)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise
    packed = Release(
        release=release,
        archive=str(path),
        sha256=sha256_of(path),
        archive_size=path.stat().st_size,
        unpacked_size=sum(entry.size + ROOM for entry in entries),
        origin=origin,
    )
    staged = known.with_name(f".{known.name}.{os.getpid()}")
    staged.write_text(json.dumps(asdict(packed)), encoding="utf-8")
    staged.replace(known)
    return packed


def _check_unchanged(service: str, entries: Sequence[Entry], content: str) -> None:
    if digest_of(entries) != content:
        raise SourceError(f"service {service}: its files changed while they were packed; run again")


def _write_archive(stream: IO[bytes], entries: Sequence[Entry]) -> None:
    """Write a tar.gz without times, owners and umasks in it."""
    folders: set[str] = set()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.GNU_FORMAT) as archive,
    ):
        for entry in entries:
            for folder in sorted(set(_folders_above(entry.path)) - folders):
                folders.add(folder)
                member = tarfile.TarInfo(folder)
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            member = tarfile.TarInfo(entry.path)
            if entry.target:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
                archive.addfile(member)
                continue
            member.size, member.mode = entry.size, 0o755 if entry.executable else 0o644
            with entry.open() as content:
                archive.addfile(member, content)


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def prune(cache: Path, service: str, keep: int) -> None:
    """Remove all but the `keep` archives of a service that were used last, and downloads that nobody uses any more."""
    known = sorted(_of_service(cache, service), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in known[max(keep, 1) :]:
        path.unlink(missing_ok=True)
        path.with_suffix(".tar.gz").unlink(missing_ok=True)
    for path in cache.glob("*.download"):
        if time.time() - path.stat().st_mtime > UNUSED:
            path.unlink(missing_ok=True)


def _of_service(cache: Path, service: str) -> list[Path]:
    """Return the descriptions of a service's releases (`web-2-<id>` is not one of `web`)."""
    return [path for path in cache.glob(f"{service}-*.json") if path.stem.rpartition("-")[0] == service]


__all__ = ["Release", "id_of", "pack", "prune", "recall"]
