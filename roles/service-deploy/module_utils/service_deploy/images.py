"""Container images on this node. Each release that needs one has a name of its own for it in podman's store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.commands import checked, last_words, run

if TYPE_CHECKING:
    from ansible.module_utils.service_deploy.model import Place, Service

PODMAN = Path("/usr/bin/podman")
PACKAGES = ("podman", "catatonit")  # catatonit is what `podman run --init` puts before the program
STORE = Path("/var/lib/containers")
PREFIX = "localhost/nexus-ops/"
FILE = "image"  # in the release's folder: the image's id


def name_of(place: Place, release: str) -> str:
    """Return the name that keeps a release's image."""
    return f"{PREFIX}{place.name}:{release}"


def is_there(place: Place, release: str) -> bool:
    """Return whether the store has a release's image (somebody may have pruned it)."""
    return PODMAN.exists() and run([str(PODMAN), "image", "exists", name_of(place, release)]).returncode == 0


def held(services: list[Service]) -> list[str]:
    """Return the services whose image is here under another service's name: it need not be brought again."""
    wanted = {service.name: service.release for service in services if service.image}
    if not wanted or not PODMAN.exists():
        return []
    releases = {name.rpartition(":")[2] for name in _names() if name.startswith(PREFIX)}
    return [name for name, release in wanted.items() if release in releases]


def bring(service: Service, archive: str, timeout: float) -> str:
    """Have the image of a service's release under its name, and return its id. Raises StateError.

    It is here already, or in `archive`, or comes from its registry within `timeout` seconds.
    """
    name, before = name_of(service.place, service.release), _names()
    known = [image for other, image in before.items() if other.startswith(PREFIX) and _is_of(other, service.release)]
    if known:
        image = known[0]
    else:
        source = f"{service.image}:{archive}" if archive else service.image
        done = run([str(PODMAN), "pull", "--quiet", source], timeout=timeout)
        if done.returncode != 0 or not done.stdout.strip():
            raise StateError(
                f"podman cannot get the image of release {service.release} of {service.name} ({service.origin}): "
                f"{last_words(done, 1)}; mend that and run again (nothing that runs was touched)"
            )
        image = done.stdout.split()[-1]
    checked([str(PODMAN), "tag", image, name])
    _give_back_names(before)
    return image


def forget(place: Place, release: str) -> None:
    """Remove a release's name from the store; the image goes with its last name. Nothing is done for other kinds."""
    if PODMAN.exists() and (place.releases / release / FILE).is_file():
        run([str(PODMAN), "image", "rm", name_of(place, release)])  # it may be gone already


def forget_all(place: Place) -> None:
    """Remove the names of all releases of a service."""
    for file in place.releases.glob(f"*/{FILE}"):
        forget(place, file.parent.name)


def _is_of(name: str, release: str) -> bool:
    return name.rpartition(":")[2] == release


def _names() -> dict[str, str]:
    """Return the id of each image in the store by its names."""
    found = json.loads(checked([str(PODMAN), "images", "--format", "json"]) or "[]")
    return {name: image["Id"] for image in found or [] for name in image.get("Names") or []}


def _give_back_names(before: dict[str, str]) -> None:
    """Undo what names in an archive did to the store: they are somebody else's here, or nobody's."""
    for name, image in _names().items():
        if name.startswith(PREFIX) or before.get(name) == image:
            continue
        if name in before:
            checked([str(PODMAN), "tag", before[name], name])
        else:
            checked([str(PODMAN), "untag", image, name])
