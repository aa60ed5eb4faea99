import os
import time
from importlib.resources import files
from pathlib import Path

import pytest

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import System, controller, image, podman
from nexus_ops.sandbox.image import Recipe

RECIPE = Recipe(
    {"packages": "systemd\nopenssh-server\n", "apt.conf": ""}, ("deb https://mirror.example.com/ bookworm main",)
)


def test_the_same_recipe_has_the_same_tag_and_another_has_not() -> None:
    assert RECIPE.tag == Recipe(dict(reversed(RECIPE.context.items())), RECIPE.sources).tag
    assert RECIPE.tag != Recipe({**RECIPE.context, "apt.conf": "x"}, RECIPE.sources).tag
    assert RECIPE.tag != Recipe(RECIPE.context, ()).tag


def test_the_recipe_holds_its_files_and_the_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "certificates", lambda: ["PEM"])
    context = image.read_recipe(System.DEBIAN_12).context
    assert {"Containerfile", "prepare.sh", "packages", "apt.conf", "pip.conf", "ca/README"} <= set(context)
    assert context["ca/controller-0.crt"] == "PEM"


def test_bootstrap_has_something_to_do() -> None:
    packages = image.read_recipe(System.DEBIAN_12).packages
    assert "openssh-server" in packages
    assert not {"python3", "python3-minimal", "sudo"} & set(packages)


def test_every_file_that_is_installed_is_part_of_the_recipe() -> None:
    folder = files("nexus_ops.sandbox") / "recipe"
    script = (folder / "prepare.sh").read_text()
    used = {word.strip('"').removeprefix("$recipe/") for word in script.split() if word.startswith('"$recipe/')}
    used = {word.rstrip('")') for word in used}
    assert used <= {entry.name for entry in folder.iterdir()} | {"ca", "apt.conf", "pip.conf"}


def test_mmdebstrap_uses_the_sources_of_this_machine() -> None:
    assert image.bootstrap_arguments(RECIPE, "/tmp/apt.conf") == [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=tar", "--aptopt=/tmp/apt.conf"),
        *("--include=systemd,openssh-server", "bookworm", "-", "deb https://mirror.example.com/ bookworm main"),
    ]


def test_each_system_has_an_image_of_its_own() -> None:
    recipes = [image.read_recipe(system) for system in System]
    assert {recipe.suite for recipe in recipes} == {"bookworm", "trixie"}
    assert {recipe.pulled_base for recipe in recipes} == {"debian:12", "debian:13"}
    assert len({recipe.tag for recipe in recipes}) == len(recipes)
    assert all(recipe.suite in image.bootstrap_arguments(recipe, "/tmp/apt.conf") for recipe in recipes)


def test_only_old_images_that_no_recipe_makes_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, removed = time.time(), []
    images = [
        {"Names": ["localhost/nexus-ops-sandbox:old"], "Created": now - 90000},
        {"Names": ["localhost/nexus-ops-sandbox:another-checkouts"], "Created": now - 3600},
        {"Names": ["localhost/nexus-ops-sandbox:of-debian-13", "localhost/nexus-ops-sandbox:oldest"], "Created": 1},
        {"Names": None, "Created": 1},
    ]
    monkeypatch.setattr(podman, "query", lambda _: images)
    monkeypatch.setattr(podman, "call", lambda arguments, check: removed.append(arguments[-1]))
    image._remove_outdated({"of-debian-12", "of-debian-13"})
    assert removed == ["localhost/nexus-ops-sandbox:old", "localhost/nexus-ops-sandbox:oldest"]


def test_images_are_built_without_a_bridge_or_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "limit_arguments", list)
    assert image.build_arguments("name:1", "/context", ["--build-arg", "BASE=b"]) == [
        *("build", "--isolation", "chroot", "--network", "host", "--pull=missing"),
        *("--label", "nexus-ops.sandbox.image=yes", "--build-arg", "BASE=b", "--tag", "name:1", "/context"),
    ]


def test_without_mmdebstrap_and_registry_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(arguments: list[str], **_: object) -> None:
        raise podman.PodmanError(arguments, "no route to the registry")

    monkeypatch.setattr(image, "LOCK", tmp_path / "lock")
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(podman, "succeeds", lambda arguments: False)
    monkeypatch.setattr(podman, "call", refuse)
    with pytest.raises(NexusError, match="no route to the registry") as caught:
        image.ensure_image(System.DEBIAN_12, lambda _: None)
    assert caught.value.next_step == "install mmdebstrap: apt-get install mmdebstrap"


def test_podman_that_is_not_installed_is_an_expected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", "/nonexistent")
    with pytest.raises(podman.PodmanError, match="not installed"):
        podman.call(["ps"])
