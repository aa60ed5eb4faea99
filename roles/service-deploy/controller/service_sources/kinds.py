"""The kinds of sources: which one a service has, and the release it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service_sources import image, release
from service_sources.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from service_sources.release import Release

KINDS = ("path", "git", "archive", "image")


def check(service: str, settings: dict[str, Any]) -> None:
    """Raise SourceError for a service whose source cannot be deployed. Nothing is read or fetched for it."""
    source = settings["source"]
    if not any(source.get(kind) for kind in KINDS):
        raise SourceError(f"service {service}: its source names none of {', '.join(KINDS)}; name one of them")
    if source.get("image"):
        image.check_image(service, settings)
    elif source.get("archive") and not source.get("sha256"):
        raise SourceError(f"service {service}: its source has no sha256; write what sha256sum prints of the archive")


def pack(service: str, source: dict[str, Any], setup: str, cache: Path) -> Release:
    """Return the release of a source, packed into `cache` where that is needed. Raises SourceError."""
    check(service, {"source": source, "setup": setup})
    if source.get("image"):
        return image.pack(service, source)
    return release.pack(service, source, setup, cache)
