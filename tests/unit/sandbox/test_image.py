import os
from importlib.resources import files

import pytest

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import controller, image, podman
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
    context = image.read_recipe().context
    assert {"Containerfile", "prepare.sh", "packages", "apt.conf", "pip.conf", "ca/README"} <= set(context)
    assert context["ca/controller-0.crt"] == "PEM"


def test_bootstrap_has_something_to_do() -> None:
    packages = image.read_recipe().packages
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


def test_images_are_built_without_a_bridge_or_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "limit_arguments", list)
    assert image.build_arguments("name:1", "/context", ["--build-arg", "BASE=b"]) == [
        *("build", "--isolation", "chroot", "--network", "host", "--pull=missing"),
        *("--label", "nexus-ops.sandbox.image=yes", "--build-arg", "BASE=b", "--tag", "name:1", "/context"),
    ]


def test_without_mmdebstrap_and_registry_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arguments: list[str], **_: object) -> None:
        raise podman.PodmanError(arguments, "no route to the registry")

    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(podman, "succeeds", lambda arguments: False)
    monkeypatch.setattr(podman, "call", refuse)
    with pytest.raises(NexusError, match="no route to the registry") as caught:
        image.ensure_image(lambda _: None)
    assert caught.value.next_step == "install mmdebstrap: apt-get install mmdebstrap"


def test_podman_that_is_not_installed_is_an_expected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", "/nonexistent")
    with pytest.raises(podman.PodmanError, match="not installed"):
        podman.call(["ps"])
