"""How podman runs a service's image: the shell text that its unit executes."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from ansible.module_utils.service_deploy.images import FILE, PODMAN
from ansible.module_utils.service_deploy.model import seconds_of

if TYPE_CHECKING:
    from ansible.module_utils.service_deploy.model import Service

STOPPED = 143  # what a program that ended by SIGTERM leaves
PATIENCE = 10  # seconds that podman gets beyond the service's own time to stop


def name_of(service: Service) -> str:
    """Return the container's name."""
    return f"nexus-{service.name}"


def stop_seconds(service: Service) -> int:
    """Return the time a container has to stop; podman counts whole seconds."""
    return max(1, math.ceil(seconds_of(service.drain_timeout)))


def data_folder(service: Service) -> str:
    """Return the folder that outlives releases, on the node and in the container."""
    return f"/var/lib/nexus-{service.name}"


def run_text(service: Service, command: str, capability: str) -> str:
    """Return the shell text that starts the container and gives its monitor to systemd as the main process.

    `command` is for the image's shell, empty: the image's own. `capability` is the only one that is left, if any.
    """
    account, folder = service.place.user, data_folder(service)
    options = [
        *("--detach", "--replace", "--rm", f"--name={name_of(service)}", "--pull=never"),
        # All of it stays in the unit's control group: systemd ends it with the unit, and a port is known to be its own.
        *("--cgroups=split", "--sdnotify=conmon", "--log-driver=journald", "--no-healthcheck"),
        # A published port would bypass the firewall's table. As process 1, many programs would ignore SIGTERM.
        *("--network=host", "--init", "--init-path=/usr/bin/catatonit"),
        *("--cap-drop=all", "--security-opt=no-new-privileges", "--read-only"),
        *([f"--cap-add={capability.removeprefix('CAP_')}"] if capability else []),
        *(f"--volume={folder}:{folder}", f"--env=STATE_DIRECTORY={folder}"),
        # Their values are podman's own variables: in an argument, everybody on the node could read them.
        *(f"--env={name}" for name in sorted({*service.environment, "PORT"})),
        *(["--entrypoint=/bin/sh"] if command else []),
    ]
    # Account and image are looked up at each start: the unit is the same for all releases.
    identity = f'--user="$(/usr/bin/id -u {account}):$(/usr/bin/id -g {account})"'
    image = f'"$(/usr/bin/cat {shlex.quote(str(service.place.current / FILE))})"'
    words = [str(PODMAN), "--events-backend=none", "run", *map(shlex.quote, options), identity, image]
    return " ".join(["exec", *words, *(["-c", shlex.quote(command)] if command else []), ">/dev/null"])
