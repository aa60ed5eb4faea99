"""A sandbox: the same cluster as on real machines, as local containers: the one class that others use."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, TypeVar

from nexus_ops.errors import UsageError
from nexus_ops.files import write_atomically
from nexus_ops.sandbox import NetworkMode, controller, environment, faults, hosts, image, limits, network, podman
from nexus_ops.sandbox.topology import Host, Request, check_name, merge_hosts, plan_client, with_second_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nexus_ops.environment import Environment
    from nexus_ops.sandbox import Fault, System
    from nexus_ops.sandbox.hosts import Container
    from nexus_ops.sandbox.network import Subnets
    from nexus_ops.sandbox.topology import Subnet

ANY_SUBNET = IPv4Network("10.0.0.0/24")  # for a plan whose names alone matter
AT_ONCE = 4  # podman calls in parallel; more only wait for each other


Item = TypeVar("Item")


def _silent(_: str) -> None:
    pass


def _images(planned: list[Host], say: Callable[[str], None]) -> dict[tuple[System, bool], str]:
    """Return the images of the hosts in `planned`, by system and whether it is a load client's. Raises NexusError."""
    plain = {system: image.ensure_image(system, say) for system in sorted({host.system for host in planned})}
    return {
        (host.system, host.is_client): (
            image.ensure_client_image(plain[host.system], say) if host.is_client else plain[host.system]
        )
        for host in planned
    }


def _each(work: Callable[[Item], None], items: list[Item]) -> None:
    """Do `work` on all items, some at once; raise the first error after all are done."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        done = [pool.submit(work, item) for item in items]
    for future in done:
        future.result()


class Sandbox:
    """The sandbox called `name`. Making one touches nothing; what exists is read from podman each time."""

    def __init__(self, name: str = "sandbox") -> None:
        """Keep `name`. Raises UsageError when it cannot name containers."""
        self.name = check_name(name)

    def up(self, folder: Environment, request: Request, say: Callable[[str], None] = _silent) -> list[Container]:
        """Bring every host up, make those that are missing, write nexus.yml; return the hosts, all of which answer ssh.

        An existing nexus.yml decides names and addresses, and `request` can only add to it. Raises NexusError.
        """
        controller.check_requirements()
        self._check(folder, request)
        public_key = environment.ensure_key(folder)
        wanted, subnet, subnets = self._plan(folder, request)
        existing = {container.host.name: container for container in self.containers()}
        self._write_intent(folder, request, wanted, subnet)
        if request.client and not any(container.host.is_client for container in existing.values()):
            wanted.append(plan_client(subnet))
        missing = [with_second_address(each, subnets.beside(subnet)) for each in wanted if each.name not in existing]
        environment.forget_host_keys(folder, {host.address for host in missing})
        say(f"{len(missing)} hosts to make, {len(existing)} there, on {subnets}")
        images = _images(missing, say)
        limits.ensure_room(len(missing) + sum(container.pid == 0 for container in existing.values()), say)
        _each(lambda host: hosts.boot(self.name, host, images[host.system, host.is_client], public_key), missing)
        _each(self._revive, list(existing.values()))
        everyone = self.containers()
        hosts.wait_for_ssh(self.name, [container.host for container in everyone])
        _each(lambda container: hosts.accept_key(container, public_key), everyone)
        return everyone

    def down(self, folder: Environment | None = None) -> list[Container]:
        """Remove the hosts and their network and return what was removed; images and other people's containers stay.

        Pinned host keys are removed from the known_hosts of `folder`. Raises PodmanError.
        """
        gone = self.containers()
        if gone:
            podman.call(["rm", "--force", "--volumes", "--time", "0", *(container.name for container in gone)])
        network.remove_network(self.name)
        if folder is not None:
            environment.forget_host_keys(folder, {container.host.address for container in gone})
        return gone

    def containers(self) -> list[Container]:
        """Return the hosts that exist, load clients included, in the order of their addresses."""
        return hosts.list_containers(self.name)

    def container(self, node: str) -> Container:
        """Return the host called `node`. Raises UsageError when there is none."""
        known = self.containers()
        for container in known:
            if container.host.name == node:
                return container
        names = ", ".join(container.host.name for container in known)
        if not names:
            raise UsageError(
                f"sandbox {self.name!r} has no hosts", next_step=f"make it: nexus-ops -e {self.name} sandbox up"
            )
        raise UsageError(f"sandbox {self.name!r} has no host {node!r}", next_step=f"its hosts are {names}")

    def address(self, node: str) -> str:
        """Return the IP address of `node`. Raises UsageError."""
        return self.container(node).host.address

    def run(
        self, node: str, command: Sequence[str], *, timeout: float | None = 120, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` as root inside `node`, past its network, and return the finished process. Raises NexusError."""
        container = self.container(node)
        faults.require_answers(container)
        return podman.call(["exec", container.name, *command], check=check, timeout=timeout)

    def fault(self, node: str, fault: Fault) -> None:
        """Do `fault` to `node`. Raises NexusError."""
        faults.apply(fault, self.container(node))

    def power_off(self, node: str) -> None:
        """Take the power from `node`."""
        faults.power_off(self.container(node))

    def power_on(self, node: str) -> None:
        """Boot `node` again. Returns before it answers; see `wait`."""
        faults.power_on(self.container(node))

    def cut(self, node: str) -> None:
        """Pull the network cable of `node`."""
        faults.set_link(self.container(node), up=False)

    def heal(self, node: str) -> None:
        """Plug the network cable of `node` in again."""
        faults.set_link(self.container(node), up=True)

    def freeze(self, node: str) -> None:
        """Stop every process of `node` where it is."""
        faults.freeze(self.container(node))

    def thaw(self, node: str) -> None:
        """Let the processes of `node` go on."""
        faults.thaw(self.container(node))

    def wait(self, node: str, seconds: float = hosts.SSH_SECONDS) -> None:
        """Return when `node` answers ssh. Raises NexusError after `seconds`."""
        hosts.wait_for_ssh(self.name, [self.container(node).host], seconds)

    def add_client(self, say: Callable[[str], None] = _silent) -> Container:
        """Return the load client: a host with python3 on the same network, no node of the cluster; made when missing.

        Raises NexusError.
        """
        known = self.containers()
        clients = [container for container in known if container.host.is_client]
        if not clients:
            subnets = network.existing_subnets(self.name)
            if subnets is None or not known:
                raise UsageError(f"sandbox {self.name!r} is not up", next_step=f"nexus-ops -e {self.name} sandbox up")
            subnet = subnets.ipv6 if subnets.ipv6 and ":" in known[0].host.address else subnets.ipv4
            client = with_second_address(plan_client(subnet), subnets.beside(subnet))
            images = _images([client], say)
            hosts.boot(self.name, client, images[client.system, True], known[0].key)
            hosts.wait_for_ssh(self.name, [client])
            clients = [self.container(client.name)]
        return clients[0]

    def ssh_command(self, folder: Environment, node: str, command: Sequence[str]) -> list[str]:
        """Return the ssh call that logs in to `node` as root, with the host key as podman reads it from the disk."""
        container = self.container(node)
        faults.require_answers(container)
        key = hosts.execute(container, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).split()
        return [
            "ssh",
            *("-i", str(environment.key_file(folder)), "-o", "IdentitiesOnly=yes", "-p", str(container.host.ssh_port)),
            *("-o", f"KnownHostsCommand=/bin/echo %H {key[0]} {key[1]}", "-o", "UserKnownHostsFile=none"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"),
            *("--", f"root@{container.host.address}"),
            *(command[1:] if command[:1] == ["--"] else command),
        ]

    def purge(self, folder: Environment) -> None:
        """Remove the environment's folder. Raises UsageError when no sandbox made it."""
        environment.require_sandbox(folder)
        if folder.folder.exists():
            shutil.rmtree(folder.folder)

    def _plan(self, folder: Environment, request: Request) -> tuple[list[Host], Subnet, Subnets]:
        """Return the nodes there shall be, the subnet of their addresses, and all subnets of their network.

        The network exists afterwards.
        """
        known = self._known(folder)
        wanted = environment.subnet_of(known, folder)
        subnets = network.ensure_network(self.name, wanted, request.network)
        subnet = subnets.of_cluster(wanted, request.network)
        return merge_hosts(known, request, subnet), subnet, subnets

    def _check(self, folder: Environment, request: Request) -> None:
        """Raise what `request` or the intent would be refused for, before anything is made."""
        known = self._known(folder)
        subnet = environment.subnet_of(known, folder)
        merge_hosts(known, request, subnet or ANY_SUBNET)
        if subnet is not None and request.network not in {None, NetworkMode.DUAL, f"ipv{subnet.version}"}:
            raise UsageError(
                f"--network {request.network}: the nodes of {folder.intent} have IPv{subnet.version} addresses",
                next_step=f"start over: nexus-ops -e {self.name} sandbox down --purge",
            )
        for container in self.containers():
            system = request.systems.get(container.host.name, container.host.system)
            if system != container.host.system:
                raise UsageError(
                    f"--system-of: {container.host.name} is there already, with {container.host.system}",
                    next_step=f"start over: nexus-ops -e {self.name} sandbox down",
                )

    def _known(self, folder: Environment) -> list[Host]:
        """Return the nodes of the intent, without one those that exist."""
        known = environment.read_hosts(folder)
        return known or [container.host for container in self.containers() if not container.host.is_client]

    def _write_intent(self, folder: Environment, request: Request, wanted: list[Host], subnet: Subnet) -> None:
        known = {host.name for host in environment.read_hosts(folder)}
        added = [host for host in wanted if host.name not in known]
        if not known:
            text = environment.render_intent(folder, wanted, request.ssh_user or "root", subnet)
            write_atomically(folder.intent, text)
        elif added:
            environment.add_hosts(folder, added)

    def _revive(self, container: Container) -> None:
        if container.state == "paused":
            faults.thaw(container)
        elif container.state != "running":
            faults.power_on(container)
        now = replace(container, state="running", pid=self.container(container.host.name).pid)
        if faults.is_cut(now):
            faults.set_link(now, up=True)


def all_sandboxes() -> list[Sandbox]:
    """Return the sandboxes that have hosts on this machine, by name. Raises PodmanError."""
    return [Sandbox(name) for name in sorted({container.sandbox for container in hosts.list_containers()})]
