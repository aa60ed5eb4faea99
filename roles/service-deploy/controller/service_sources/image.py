"""Sources of the kind `image`: a container image out of a file here, or from a registry by its digest."""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from service_sources import registry
from service_sources.entries import sha256_of
from service_sources.errors import SourceError
from service_sources.release import Release, id_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# Variables that podman itself would obey: they reach the container by way of podman's own.
PODMANS_OWN = re.compile(r"(_?CONTAINERS?|STORAGE|LD|DBUS|XDG|NOTIFY|LISTEN|SYSTEMD)_.*")


def check_image(service: str, settings: dict[str, Any]) -> None:
    """Raise SourceError for a service whose image cannot be run as it is described. Nothing is read or fetched."""
    if settings.get("setup"):
        raise SourceError(f"service {service}: an image has no setup; do it while the image is built")
    for name in settings.get("env") or {}:
        if PODMANS_OWN.fullmatch(name):
            raise SourceError(f"service {service}: podman itself would obey env.{name}; give it another name")
    if not settings["source"].get("archive"):
        registry.check_name(service, str(settings["source"]["image"]))


def pack(service: str, source: dict[str, Any]) -> Release:
    """Return the release of an image. Its file stays where it is, one from a registry is not fetched here.

    Raises SourceError. All workers get the same: a tag is resolved to its digest here, once a run.
    """
    name = str(source["image"])
    if not source.get("archive"):
        pinned = registry.pinned(service, name)
        release = id_of(f"image\0{pinned.rpartition('@')[2]}", "")
        return Release(release, archive="", sha256="", archive_size=0, unpacked_size=0, origin=pinned, image=pinned)
    path = Path(str(source["archive"])).expanduser()
    try:
        sha256, size, transport = sha256_of(path), path.stat().st_size, _transport_of(path)
    except (OSError, tarfile.TarError, ValueError, KeyError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"service {service}: {path} holds no image: {reason}; make it with podman save or docker save"
        ) from error
    return Release(
        release=id_of(f"image\0{sha256}", ""),
        archive=str(path),
        sha256=sha256,
        archive_size=size,
        unpacked_size=size,
        origin=f"{name} out of {path}",
        image=transport,
    )


def _transport_of(path: Path) -> str:
    """Return podman's name for the kind of image archive. Raises ValueError for what is none, with one image."""
    with tarfile.open(path) as archive:
        members = {member.name.removeprefix("./"): member for member in archive}
        for name, transport in (("manifest.json", "docker-archive"), ("index.json", "oci-archive")):
            if name in members:
                found = json.load(cast("Any", archive.extractfile(members[name])))
                _refuse_several(found if isinstance(found, list) else found["manifests"])
                return transport
    raise ValueError("it has neither a manifest.json nor an index.json")


def _refuse_several(images: Iterable[Any]) -> None:
    if (count := len(list(images))) != 1:
        raise ValueError(f"it holds {count} images, not one")
