"""The same cluster as others are told it: task by task for Ansible, operation by operation for pyinfra."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.resources import Purposes, Resources
    from tests.cluster.cluster import Cluster

BINARY = 1 << 20  # bytes; larger files are no templates
STATES = {"started": {"state": "started"}}

DEPLOY = '''"""Operations for one host after the other, as pyinfra runs them: on all hosts at once."""
import json
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

HERE = Path(__file__).parent
for purpose, resources in json.loads((HERE / "resources" / f"{host.name}.json").read_text()).items():
    if resources["packages"]:
        apt.packages(name=f"{purpose}: packages", packages=resources["packages"], present=True)
    for user in resources["users"]:
        server.user(name=f"{purpose}: user {user['name']}", user=user["name"], home=user["home"], shell=user["shell"],
                    system=True, create_home=False, ensure_home=False)
    for one in resources["directories"]:
        files.directory(name=f"{purpose}: {one['path']}", path=one["path"], user=one["owner"], group=one["group"],
                        mode=one["mode"].lstrip("0"))
    for one in resources["files"]:
        if "link" in one:
            files.link(name=f"{purpose}: {one['path']}", path=one["path"], target=one["link"])
        else:
            files.put(name=f"{purpose}: {one['path']}", src=str(HERE / "files" / one["source"]), dest=one["path"],
                      user=one["owner"], group=one["group"], mode=one["mode"].lstrip("0"))
    for path in resources["absent"]:
        files.file(name=f"{purpose}: no {path}", path=path, present=False)
    for unit in resources["units"]:
        systemd.service(name=f"{purpose}: {unit['name']}", service=unit["name"], enabled=unit.get("enabled"),
                        running=True if unit.get("state") == "started" else None)
'''


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
        shapes: dict[Any, list[str]] = {}
        for node, resources in nodes.items():
            shapes.setdefault(resources.shape, []).append(node)
        for number, hosts in enumerate(shapes.values()):
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
    """Write the cluster as a deploy of pyinfra, and return the command that runs it."""
    (folder / "deploy.py").write_text(DEPLOY)
    (folder / "resources").mkdir()
    hosts = []
    intent = cluster.intent
    for node in cluster.nodes():
        here = {
            purpose: {
                **vars(nodes[node]),
                "files": [{key: one[key] for key in one if key != "content"} for one in nodes[node].files],
            }
            for purpose, nodes in purposes.items()
            if node in nodes
        }
        (folder / "resources" / f"{node}.json").write_text(json.dumps(here))
        connection = {
            "ssh_hostname": cluster.address(node),
            "ssh_port": intent["nodes"][node].get("ssh", {}).get("port", 22),
            "ssh_user": intent["ssh"]["user"],
            "ssh_key": str(cluster.folder / intent["ssh"]["private_key_file"]),
            "ssh_known_hosts_file": str(folder / "known_hosts"),
            "ssh_strict_host_key_checking": "accept-new",
        }
        hosts.append((node, connection))
    (folder / "inventory.py").write_text(f"hosts = {hosts!r}\n")
    return ("pyinfra", "--yes", str(folder / "inventory.py"), str(folder / "deploy.py"))
