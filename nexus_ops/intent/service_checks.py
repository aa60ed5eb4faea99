"""The rules across the fields of services: where they run, their ports, their domains, their sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_ops.intent.draft import DEFAULT_SSH_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from nexus_ops.errors import Fault
    from nexus_ops.intent.draft import Draft

# Caddy on a load balancer: HTTP, HTTPS, admin API (of earlier versions), and whether it is alive.
LB_PORTS = frozenset({80, 443, 2019, 2020})
# Netdata's, at the address and on the loopback of parents.
NETDATA_PORTS = frozenset({19997, 19998, 19999})
# Of the environment's folder.
PRIVATE_FOLDERS = ("secrets", "runs", ".cache")
# What `nexus-ops deploy` takes beside services.
RESERVED_NAME = "monitoring"


def check_services(draft: Draft) -> Iterator[Fault]:
    """Yield the faults across the fields of the services of `draft`."""
    if not draft.services:
        return
    yield from _check_cluster(draft)
    yield from _check_placement(draft)
    yield from _check_ports(draft)
    yield from _check_domains(draft)
    if RESERVED_NAME in draft.services:
        message = f"no service can be called '{RESERVED_NAME}': 'nexus-ops deploy {RESERVED_NAME}' means something else"
        yield draft.fault(("services", RESERVED_NAME), message, "choose another name")
    yield from _check_accounts(draft)
    for name, service in draft.services.items():
        if "PORT" in (service.get("env") or {}):
            path = ("services", name, "env", "PORT")
            yield draft.fault(path, f"services.{name}.env sets PORT, which comes from 'port'", "remove it from env")
        yield from _check_source(draft, name)


def _check_accounts(draft: Draft) -> Iterator[Fault]:
    """Yield a fault for each service whose account is the one that a node is managed with."""
    users = {draft.ssh_of(node).get("user") for node in draft.nodes}
    for name in draft.services:
        if f"nexus-{name}" in users:
            message = f"service {name} would run as nexus-{name}, the user that nodes are managed with"
            yield draft.fault(("services", name), message, "choose another name, or another ssh.user")


def _check_cluster(draft: Draft) -> Iterator[Fault]:
    if draft.roles_known and not draft.workers:
        yield draft.fault(("services",), "no node has the role worker, so no service can run", "give a node that role")
    if draft.roles_known and not draft.lbs:
        message = "no node has the role lb, so nobody could reach a service"
        yield draft.fault(("services",), message, "give a node that role (a worker may have it too)")


def _check_placement(draft: Draft) -> Iterator[Fault]:
    for name, service in draft.services.items():
        path = ("services", name, "nodes")
        for position, node in enumerate(service.get("nodes", ())):
            if node not in draft.nodes:
                if not draft.is_unusable(("nodes", node)) and draft.nodes:
                    yield draft.fault(
                        (*path, position), f"services.{name} names '{node}', no node of this file", _meant(draft, node)
                    )
            elif node not in draft.workers and "roles" in draft.nodes[node]:
                message = f"services.{name} names {node}, which is not a worker"
                yield draft.fault((*path, position), message, f"give {node} the role worker, or name a worker")
        replicas = service.get("replicas", 0)
        if draft.roles_known and draft.workers and replicas > len(draft.workers):
            message = f"services.{name} wants {replicas} replicas of {len(draft.workers)} workers"
            yield draft.fault(
                ("services", name, "replicas"), message, f"write {len(draft.workers)} or less, or add workers"
            )


def _meant(draft: Draft, node: str) -> str:
    import difflib

    if close := difflib.get_close_matches(node, draft.workers, 1):
        return f"did you mean '{close[0]}'?"
    return f"the workers are {', '.join(draft.workers)}" if draft.workers else "name a worker"


def _check_ports(draft: Draft) -> Iterator[Fault]:
    """Report each pair of users of a port once, with all the nodes on which they meet."""
    clashes: dict[tuple[str, str], list[str]] = {}
    for node in draft.workers:
        users = _own_ports(draft, node)
        for name, service in draft.services.items():
            port = service.get("port")
            if port is None or node not in draft.placement(name):
                continue
            if port in users:
                clashes.setdefault((users[port], name), []).append(node)
            users.setdefault(port, f"services.{name}")
    for (user, name), nodes in clashes.items():
        port = draft.services[name]["port"]
        message = f"services.{name} wants port {port}, which {user} has on {', '.join(nodes)}"
        yield draft.fault(("services", name, "port"), message, "choose another port")


def _own_ports(draft: Draft, node: str) -> dict[int, str]:
    """Return the ports that are taken on `node` before any service runs, and by what."""
    ports = dict.fromkeys(NETDATA_PORTS, "Netdata")
    if node in draft.lbs:
        ports.update(dict.fromkeys(LB_PORTS, "the load balancer"))
    ports[draft.ssh_of(node).get("port", DEFAULT_SSH_PORT)] = "the ssh server"
    return ports


def _check_domains(draft: Draft) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, service in draft.services.items():
        if draft.is_unusable(("services", name, "domain")):
            continue
        domain = service.get("domain", "").lower()
        if domain not in seen:
            seen[domain] = f"services.{name}"
        elif domain:
            message = f"services.{name} has the domain {domain}, and so has {seen[domain]}"
            yield draft.fault(("services", name, "domain"), message, "give each its own domain")
        else:
            message = f"services.{name} has no domain, and neither has {seen['']}"
            yield draft.fault(
                ("services", name), message, "give one of them a domain: only one service can answer for the rest"
            )
    dashboard = (draft.monitoring.get("dashboard") or {}).get("domain", "").lower()
    if dashboard and dashboard in seen:
        message = f"the dashboard has the domain {dashboard}, and so has {seen[dashboard]}"
        yield draft.fault(("monitoring", "dashboard", "domain"), message, "give each its own domain")


def _check_source(draft: Draft, name: str) -> Iterator[Fault]:
    source = draft.services[name].get("source", {})
    path = ("services", name, "source")
    if "image" in source and draft.services[name].get("setup"):
        message = f"services.{name} has a setup, which an image cannot have"
        yield draft.fault(("services", name, "setup"), message, "leave it out; do it while the image is built")
    if "path" in source:
        yield from _check_folder(draft, (*path, "path"), name, source["path"])
    elif "archive" in source and not source["archive"].startswith(("https://", "http://")):
        file = draft.local_path(source["archive"])
        if not file.is_file():
            what = "image archive" if "image" in source else "archive"
            remedy = "make it with podman save, or correct the path" if "image" in source else "correct the path"
            yield draft.fault((*path, "archive"), f"services.{name} has no {what} at {file}", remedy)
    elif source.get("git", "").startswith(("/", "./", "../", "~/")) and not draft.local_path(source["git"]).is_dir():
        folder = draft.local_path(source["git"])
        yield draft.fault((*path, "git"), f"services.{name} has no repository at {folder}", "correct the path")


def _check_folder(draft: Draft, path: tuple[str, ...], name: str, text: str) -> Iterator[Fault]:
    folder = draft.local_path(text)
    if not folder.exists():
        message = f"services.{name} has no folder {folder}"
        yield draft.fault(path, message, "make it, or correct the path (it is relative to nexus.yml)")
    elif not folder.is_dir():
        remedy = "name its folder, or use {archive: FILE, sha256: SUM} for a packed one"
        yield draft.fault(path, f"services.{name} has a file, not a folder, at {folder}", remedy)
    elif draft.folder.resolve().is_relative_to(folder.resolve()):
        message = f"services.{name} would carry this environment's folder, secrets included, to its workers"
        yield draft.fault(path, message, "keep the service in a folder of its own, such as apps/" + name)
    elif private := _private_part(draft, folder.resolve()):
        message = f"services.{name} would carry {private} of this environment to its workers"
        yield draft.fault(path, message, "keep the service in a folder of its own, such as apps/" + name)


def _private_part(draft: Draft, folder: FilePath) -> str:
    """Return what in `folder`, or around it, must not leave the controller; "" where there is nothing such."""
    private = {f"{part}/": draft.folder / part for part in PRIVATE_FOLDERS}
    for node in ({}, *draft.nodes.values()):
        if key := {**draft.ssh, **(node.get("ssh") or {})}.get("private_key_file"):
            private[f"the private key {key}"] = draft.local_path(key)
    for what, place in private.items():
        if folder.is_relative_to(place.resolve()) or place.resolve().is_relative_to(folder):
            return what
    return ""
