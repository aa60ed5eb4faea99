"""The image that sandbox hosts boot: a plain Debian plus the files in recipe/, built once and kept by podman."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import System, controller, podman

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

SUITES = {System.DEBIAN_12: "bookworm", System.DEBIAN_13: "trixie"}
REPOSITORY = "localhost/nexus-ops-sandbox"
CLIENT_PACKAGES = "python3"
BUILD_SECONDS = 900.0
KEPT_SECONDS = 86400.0  # how long an image that no recipe here makes is kept: another checkout may use it
LOCK = Path("/run/nexus-ops-sandbox-image.lock")


@dataclass(frozen=True)
class Recipe:
    """All that decides what the image holds: the files of the build context, and where packages come from."""

    context: dict[str, str]
    sources: tuple[str, ...]
    system: System = System.DEBIAN_12

    @property
    def suite(self) -> str:
        """Return Debian's name of the release."""
        return SUITES[self.system]

    @property
    def pulled_base(self) -> str:
        """Return the base image's short name, resolved by the user's registries, for where mmdebstrap is missing."""
        return self.system.replace("-", ":")

    @property
    def tag(self) -> str:
        """Return a short digest: the same recipe has the same tag, so an image is built only when something changed."""
        parts = [self.suite, *self.sources, *(f"{name}\0{text}" for name, text in sorted(self.context.items()))]
        return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()[:16]

    @property
    def packages(self) -> list[str]:
        """Return the names of the packages in the image."""
        return self.context["packages"].split()


def read_recipe(system: System) -> Recipe:
    """Return the recipe of `system` by this installation on this machine."""
    folder = files("nexus_ops.sandbox") / "recipe"
    context = {entry.name: entry.read_text() for entry in folder.iterdir() if entry.is_file()}
    context["ca/README"] = "Certificates that the controller trusts beyond those of its distribution.\n"
    context.update({f"ca/controller-{number}.crt": pem for number, pem in enumerate(controller.certificates())})
    context["apt.conf"] = controller.apt_settings()
    context["pip.conf"] = controller.pip_settings()
    return Recipe(context, tuple(controller.package_sources(SUITES[system])), system)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one nexus-ops of this machine build or remove images at a time."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_image(system: System, say: Callable[[str], None]) -> str:
    """Return the name of the host image, after building it (about half a minute) unless podman has it already.

    Raises NexusError when it cannot be built.
    """
    recipe = read_recipe(system)
    name = f"{REPOSITORY}:{recipe.tag}"
    with _alone():
        if not podman.succeeds(["image", "exists", name]):
            say(f"building the host image of {system} (once, about half a minute)")
            _build_host_image(recipe, name)
            _remove_outdated({read_recipe(each).tag for each in System})
    return name


def _build_host_image(recipe: Recipe, name: str) -> None:
    base = _debian_base(recipe)
    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:
        for path, text in recipe.context.items():
            target = Path(folder, path)
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
        _build(name, folder, ["--build-arg", f"BASE={base}"])


def ensure_client_image(host_image: str, say: Callable[[str], None]) -> str:
    """Return the name of the load client's image: the host image with python3. Raises NexusError."""
    name = f"{REPOSITORY}-client:{host_image.rpartition(':')[2]}"
    with _alone(), tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:
        if podman.succeeds(["image", "exists", name]):
            return name
        say("building the load client's image (once)")
        Path(folder, "Containerfile").write_text(
            f"FROM {host_image}\n"
            f"RUN apt-get update && apt-get install --yes --no-install-recommends {CLIENT_PACKAGES}"
            " && rm -rf /var/lib/apt/lists/*\n"
        )
        _build(name, folder, [])
    return name


def build_arguments(name: str, folder: str, extra: list[str]) -> list[str]:
    """Return podman's arguments that build `folder` as the image `name`.

    With chroot isolation and the controller's own network it needs neither an OCI runtime nor a bridge.
    """
    common = ["build", "--isolation", "chroot", "--network", "host", "--pull=missing", *controller.limit_arguments()]
    return [*common, "--label", f"{podman.LABEL}.image=yes", *extra, "--tag", name, folder]


def _build(name: str, folder: str, extra: list[str]) -> None:
    podman.call(build_arguments(name, folder, extra), timeout=BUILD_SECONDS)


def _remove_outdated(tags: Collection[str]) -> None:
    """Remove the images of former recipes, except those that hosts still run and those that are less than a day old.

    The latter may be of another checkout, whose recipe differs and which would have to build them again.
    """
    oldest = time.time() - KEPT_SECONDS
    for entry in podman.query(["images", "--filter", f"reference={REPOSITORY}*", "--format", "json"]):
        for name in entry.get("Names") or []:
            if entry["Created"] < oldest and name.rpartition(":")[2] not in tags:
                podman.call(["image", "rm", name], check=False)  # podman refuses for an image that hosts run


def _debian_base(recipe: Recipe) -> str:
    if shutil.which("mmdebstrap") is None:
        base = recipe.pulled_base
        if not podman.succeeds(["image", "exists", base]):
            try:
                podman.call(["pull", base], timeout=BUILD_SECONDS)
            except podman.PodmanError as error:
                raise NexusError(
                    f"no base image: mmdebstrap is not installed and {base} cannot be pulled ({error.reason})",
                    next_step="install mmdebstrap: apt-get install mmdebstrap",
                ) from error
        return base
    return _bootstrap_debian(recipe)


def bootstrap_arguments(recipe: Recipe, apt_file: str) -> list[str]:
    """Return the mmdebstrap call that writes a Debian root filesystem as a tar archive to its stdout."""
    return [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=apt",
        "--format=tar",
        f"--aptopt={apt_file}",
        f"--include={','.join(recipe.packages)}",
        recipe.suite,
        "-",
        *recipe.sources,
    ]


def _bootstrap_debian(recipe: Recipe) -> str:
    """Return the name of the base image, made by mmdebstrap from this machine's package sources."""
    name = f"{REPOSITORY}-base:{recipe.tag}"
    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:
        apt_file, log = Path(folder, "apt.conf"), Path(folder, "log")
        apt_file.write_text(recipe.context["apt.conf"])
        with log.open("w") as errors:
            made = subprocess.Popen(
                bootstrap_arguments(recipe, str(apt_file)),
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
            )
            stored = subprocess.run(
                ["podman", "import", "-", name], stdin=made.stdout, capture_output=True, text=True, check=False
            )
            if made.stdout is not None:
                made.stdout.close()
        if made.wait() != 0:
            podman.call(["image", "rm", "--force", name], check=False)
            raise NexusError(f"mmdebstrap could not make a Debian: {podman.last_line(log.read_text())}")
    if stored.returncode != 0:
        raise podman.PodmanError(["import"], podman.last_line(stored.stderr))
    return name
