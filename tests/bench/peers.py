"""The same cluster as others are told it: task by task for Ansible, operation by operation for pyinfra."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.resources import Purposes, Resources
    from tests.cluster.cluster import Cluster

BINARY = 1 << 20  # bytes; larger files are no templates
STATES = {"started": {"state": "started"}}

HEAD = """\
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

FILES = Path(__file__).parent / "files"
"""


def write_files(purposes: Purposes, folder: Path) -> None:
    """Write the contents of all files below `folder`, once for pyinfra as they are, once for Ansible as templates."""
    for name in ("files", "templates"):
        (folder / name).mkdir(parents=True)
    for nodes in purposes.values():
        for resources in nodes.values():
            for entry in resources.files:
                if "content" not in entry:
                    continue
                entry["source"] = hashlib.sha256(entry["content"]).hexdigest()[:20]
                (folder / "files" / entry["source"]).write_bytes(entry["content"])
                if len(entry["content"]) < BINARY:
                    raw = b"{% raw %}" + entry["content"] + b"{% endraw %}"
                    (folder / "templates" / entry["source"]).write_bytes(raw)


def write_playbook(purposes: Purposes, folder: Path) -> Path:
    """Write the cluster as a playbook with a task for each resource, and return its path."""
    plays: list[dict[str, Any]] = []
    for purpose, nodes in purposes.items():
        for number, hosts in enumerate(_alike(nodes)):
            sources = {node: {one["path"]: one.get("source") for one in nodes[node].files} for node in hosts}
            play = {
                "name": f"{purpose} {number}",
                "hosts": ",".join(hosts),
                "become": True,
                "vars": {"sources": sources},
                "tasks": _tasks(nodes[hosts[0]], folder),
            }
            plays.append(play)
    path = folder / "tasks.yml"
    path.write_text(yaml.safe_dump(plays, sort_keys=False))
    return path


def _tasks(resources: Resources, folder: Path) -> list[dict[str, Any]]:
    tasks: list[tuple[str, str, dict[str, Any]]] = []
    if resources.packages:
        tasks.append(("Packages", "apt", {"name": resources.packages, "state": "present"}))
    for user in resources.users:
        options = {key: user[key] for key in ("name", "home", "shell")}
        tasks.append((f"User {user['name']}", "user", {**options, "system": True, "create_home": False}))
    for one in resources.directories:
        options = {key: one[key] for key in ("path", "owner", "group", "mode")}
        tasks.append((one["path"], "file", {**options, "state": "directory"}))
    for one in resources.files:
        if "link" in one:
            tasks.append((one["path"], "file", {"path": one["path"], "src": one["link"], "state": "link"}))
            continue
        large = len(one["content"]) >= BINARY
        source = f"{folder}/{'files' if large else 'templates'}/{{{{ sources[inventory_hostname]['{one['path']}'] }}}}"
        options = {key: one[key] for key in ("owner", "group", "mode")}
        tasks.append((one["path"], "copy" if large else "template", {"src": source, "dest": one["path"], **options}))
    tasks += [(f"No {path}", "file", {"path": path, "state": "absent"}) for path in resources.absent]
    for unit in resources.units:
        options = {"name": unit["name"], "enabled": unit.get("enabled"), **STATES.get(unit.get("state", ""), {})}
        chosen = {key: value for key, value in options.items() if value is not None}
        tasks.append((f"Unit {unit['name']}", "systemd_service", chosen))
    tasks += [(f"Answer of {url}", "uri", {"url": url}) for url in resources.urls]
    return [{"name": name, f"ansible.builtin.{module}": options} for name, module, options in tasks]


def write_pyinfra(cluster: Cluster, purposes: Purposes, folder: Path) -> Sequence[str]:
    """Write the cluster as a deploy of pyinfra, an operation for each resource, and return the command that runs it."""
    lines = [HEAD]
    for nodes in purposes.values():
        for hosts in _alike(nodes):
            lines.append(f"if host.name in {hosts!r}:")
            lines += [f"    {operation}" for operation in _operations(nodes[hosts[0]], {n: nodes[n] for n in hosts})]
    (folder / "deploy.py").write_text("\n".join(lines) + "\n")
    intent, inventory = cluster.intent, []
    for node in cluster.nodes():
        connection = {
            "ssh_hostname": cluster.address(node),
            "ssh_port": intent["nodes"][node].get("ssh", {}).get("port", 22),
            "ssh_user": intent["ssh"]["user"],
            "ssh_key": str(cluster.folder / intent["ssh"]["private_key_file"]),
            "ssh_known_hosts_file": str(folder / "known_hosts"),
            "ssh_strict_host_key_checking": "accept-new",
        }
        inventory.append((node, connection))
    (folder / "inventory.py").write_text(f"hosts = {inventory!r}\n")
    return ("pyinfra", "--yes", str(folder / "inventory.py"), str(folder / "deploy.py"))


def _operations(resources: Resources, nodes: dict[str, Resources]) -> list[str]:
    found: list[str] = []
    if resources.packages:
        found.append(f"apt.packages(packages={resources.packages!r})")
    found += [
        f"server.user(user={user['name']!r}, home={user['home']!r}, shell={user['shell']!r}, system=True, "
        "create_home=False, ensure_home=False)"
        for user in resources.users
    ]
    found += [f"files.directory(path={one['path']!r}, {_owned(one)})" for one in resources.directories]
    for number, one in enumerate(resources.files):
        if "link" in one:
            found.append(f"files.link(path={one['path']!r}, target={one['link']!r})")
        else:
            sources = {name: there.files[number]["source"] for name, there in nodes.items()}
            source = f"str(FILES / {sources!r}[host.name])"
            found.append(f"files.put(src={source}, dest={one['path']!r}, {_owned(one)})")
    found += [f"files.file(path={path!r}, present=False)" for path in resources.absent]
    for unit in resources.units:
        running = True if unit.get("state") == "started" else None
        found.append(f"systemd.service(service={unit['name']!r}, running={running}, enabled={unit.get('enabled')})")
    return found


def _owned(entry: dict[str, Any]) -> str:
    return f"user={entry['owner']!r}, group={entry['group']!r}, mode={entry['mode'].lstrip('0')!r}"


def _alike(nodes: dict[str, Resources]) -> list[list[str]]:
    """Return the nodes that differ in nothing but the contents of files, together."""
    shapes: dict[Any, list[str]] = {}
    for node, resources in nodes.items():
        shapes.setdefault(resources.shape, []).append(node)
    return list(shapes.values())
