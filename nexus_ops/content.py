"""Where the playbooks and roles are: in the installed package, or in the checkout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nexus_ops.errors import UsageError

OVERRIDE = "NEXUS_OPS_CONTENT"


@dataclass(frozen=True)
class Content:
    """A folder that holds playbooks/, roles/ and ansible.cfg."""

    root: Path

    def playbook(self, name: str) -> Path:
        """Return the absolute path of the playbook of that name (without `.yml`)."""
        return self.root / "playbooks" / f"{name}.yml"

    @property
    def roles(self) -> Path:
        """Return the folder of the roles."""
        return self.root / "roles"

    @property
    def configuration(self) -> Path:
        """Return the path of ansible.cfg."""
        return self.root / "ansible.cfg"

    @property
    def example(self) -> Path:
        """Return the folder of the example environment, with the sample service in it."""
        return self.root / "inventories" / "example"

    @property
    def is_whole(self) -> bool:
        """Whether all parts are there."""
        return self.playbook("ha").is_file() and self.roles.is_dir() and self.configuration.is_file()


def find_content() -> Content:
    """Return the content named by `NEXUS_OPS_CONTENT`, else the installed one, else the checkout's.

    Raises UsageError when the override does not hold the content, or none is found.
    """
    override = os.environ.get(OVERRIDE)
    if override:
        content = Content(Path(override).absolute())
        if not content.is_whole:
            raise UsageError(
                f"{OVERRIDE}={override} does not hold playbooks/, roles/ and ansible.cfg",
                next_step="correct the variable or unset it",
            )
        return content
    package = Path(__file__).resolve().parent
    for content in (Content(package / "_content"), Content(package.parent)):
        if content.is_whole:
            return content
    raise UsageError(f"no playbooks and roles beside {package}", next_step="install nexus-ops again")
