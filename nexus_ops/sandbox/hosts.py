"""The hosts of a sandbox: containers that boot systemd, known by their labels alone."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import System, controller, podman
from nexus_ops.sandbox.network import network_name
from nexus_ops.sandbox.topology import Host

SSH_SECONDS = 60.0
LOOK_SECONDS = 3.0
LOG_LINES = 5
CONTAINERS = (
    "/var/lib/containers"  # on a disk of its own: the overlays of containers in a host do not work on an overlay
)


@dataclass(frozen=True)
class Container:
    """A host that exists. `state` is podman's: running, paused, exited, created; `pid` is 0 unless it runs."""

    sandbox: str
    host: Host
    state: str
    pid: int
    key: str

    @property
    def name(self) -> str:
        """Return the container's name."""
        return container_name(self.sandbox, self.host.name)


def container_name(sandbox: str, node: str) -> str:
    """Return the name of a node's container."""
    return f"nexus-{sandbox}-{node}"


def list_containers(sandbox: str | None = None) -> list[Container]:
    """Return the hosts of `sandbox`, by default of all, in the order of their addresses. Raises PodmanError."""
    label = podman.LABEL if sandbox is None else f"{podman.LABEL}={sandbox}"
    found = []
    for entry in podman.query(["ps", "--all", "--filter", f"label={label}", "--format", "json"]):
        labels = entry["Labels"]
        host = Host(
            labels[f"{podman.LABEL}.node"],
            labels[f"{podman.LABEL}.address"],
            tuple(labels[f"{podman.LABEL}.roles"].split()),
            int(labels[f"{podman.LABEL}.ssh-port"]),
            System(labels.get(f"{podman.LABEL}.system", System.DEBIAN_12)),  # hosts of earlier versions have no label
            labels.get(f"{podman.LABEL}.second-address", ""),
        )
        key = labels[f"{podman.LABEL}.key"]
        found.append(Container(labels[podman.LABEL], host, entry["State"], int(entry["Pid"]), key))
    return sorted(found, key=lambda container: (container.sandbox, ip_address(container.host.address).packed))


def run_arguments(sandbox: str, host: Host, image: str, public_key: str) -> list[str]:
    """Return podman's arguments that boot `host`. Its address and MAC address survive every power cycle.

    It is privileged: as a machine of its own it needs a firewall, floating addresses and settings of its network.
    The image keeps its systemd away from the controller's clock, modules, disks and other kernel settings.
    """
    labels = {
        "": sandbox,
        ".node": host.name,
        ".roles": " ".join(host.roles),
        ".address": host.address,
        ".ssh-port": str(host.ssh_port),
        ".system": host.system,
        ".second-address": host.second_address,
        ".key": public_key,
    }
    return [
        *controller.runtime_arguments(),
        "run",
        "--detach",
        *("--name", container_name(sandbox, host.name), "--hostname", host.name),
        *("--systemd=always", "--privileged"),
        *controller.limit_arguments(),
        *("--volume", CONTAINERS),
        *("--network", network_name(sandbox), "--ip", host.ipv4, *(["--ip6", host.ipv6] if host.ipv6 else [])),
        *("--mac-address", host.mac_address),
        *("--env", f"NEXUS_SSH_PORT={host.ssh_port}", "--env", f"NEXUS_AUTHORIZED_KEY={public_key}"),
        *(word for name, value in labels.items() for word in ("--label", f"{podman.LABEL}{name}={value}")),
        image,
        "/sbin/init",
    ]


def boot(sandbox: str, host: Host, image: str, public_key: str) -> None:
    """Make and start a host that does not exist yet. Raises PodmanError."""
    podman.call(run_arguments(sandbox, host, image, public_key))


def execute(container: Container, command: list[str], *, timeout: float | None = 120) -> str:
    """Return the output of `command`, run inside the host. Raises PodmanError when it fails."""
    return podman.call(["exec", container.name, *command], timeout=timeout).stdout


def accept_key(container: Container, public_key: str) -> None:
    """Let `public_key` log in as root, for a host that was made with another one. Raises PodmanError."""
    if container.key != public_key:
        script = 'grep -qxF "$1" /root/.ssh/authorized_keys || printf "%s\\n" "$1" >>/root/.ssh/authorized_keys'
        execute(container, ["sh", "-c", script, "sh", public_key])


def wait_for_ssh(sandbox: str, hosts: list[Host], seconds: float = SSH_SECONDS) -> None:
    """Return when every one of `hosts` greets as an ssh server.

    Raises NexusError after `seconds`, or once one has stopped, with the last lines of the journals of those at fault.
    """
    start = time.monotonic()
    waiting = list(hosts)
    next_look = start + LOOK_SECONDS
    while waiting := [host for host in waiting if not greets(host)]:
        now = time.monotonic()
        stopped = []
        if now > next_look:
            states = {container.host.name: container.state for container in list_containers(sandbox)}
            stopped = [host for host in waiting if states.get(host.name) not in {"running", "paused"}]
            next_look = now + LOOK_SECONDS
        if stopped or now - start > seconds:
            late = stopped or waiting
            reasons = "; ".join(f"{host.name}: {_last_words(sandbox, host)}" for host in late)
            raise NexusError(
                f"no ssh after {now - start:.0f} s from {reasons}",
                next_step=f"look at it: podman logs {container_name(sandbox, late[0].name)}",
            )
        time.sleep(0.1)


def greets(host: Host) -> bool:
    """Return whether an ssh server answers on the host's port within a second."""
    try:
        with socket.create_connection((host.address, host.ssh_port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _last_words(sandbox: str, host: Host) -> str:
    name = container_name(sandbox, host.name)
    status = podman.call(
        ["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name], check=False
    ).stdout.split()
    if status[:1] == ["exited"]:
        return f"it stopped with status {status[1]}"
    journal = ["exec", name, "journalctl", "--no-pager", "--output=cat", f"--lines={LOG_LINES}"]
    done = podman.call(journal, check=False, timeout=10)
    if done.returncode != 0:
        done = podman.call(["logs", f"--tail={LOG_LINES}", name], check=False, timeout=10)
    return (
        " | ".join(line.strip() for line in (done.stdout or done.stderr).splitlines() if line.strip()) or "it is silent"
    )
