"""What a converged cluster consists of, node by node: read from our roles and from the hosts, for the peers."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.timing import timed

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

ROOT = Path(__file__).parents[2]
RECORD = "BENCH_RECORD"
OWNED = {"owner": "root", "group": "root"}

# In place of our action, in a copy of the roles: writes what it is given, then does the same.
RECORDER = f'''
import json, os, pathlib
from ansible.plugins.loader import action_loader

class ActionModule(action_loader.get("node_module", class_only=True)):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        name = task_vars["inventory_hostname"] + "~" + self._task.args["name"] + ".json"
        pathlib.Path(os.environ["{RECORD}"], name).write_text(json.dumps(self._task.args, default=str))
        return self._execute_module(task_vars=task_vars)
'''

# On a worker: the files, folders and links of its services, with owner and mode.
READER = """
import base64, glob, grp, json, os, pwd, sys
def about(path):
    info = os.lstat(path)
    entry = {"path": path, "owner": pwd.getpwuid(info.st_uid).pw_name, "group": grp.getgrgid(info.st_gid).gr_name,
             "mode": "%04o" % (info.st_mode & 0o7777)}
    if os.path.islink(path):
        entry["link"] = os.readlink(path)
    elif os.path.isfile(path):
        entry["content"] = base64.b64encode(open(path, "rb").read()).decode()
    return entry
print(json.dumps([about(path) for pattern in sys.argv[1:] for path in sorted(glob.glob(pattern))]))
"""
SERVICE_PATHS = (
    *("/opt/nexus", "/etc/nexus-ops/services", "/etc/nexus-ops/services.nft"),
    "/etc/systemd/system/nexus-services-firewall.service",
)
PATHS_OF_A_SERVICE = (
    *("/opt/nexus/{0}", "/opt/nexus/{0}/releases", "/opt/nexus/{0}/home", "/opt/nexus/{0}/current"),
    *("/etc/nexus-ops/services/{0}.env", "/etc/systemd/system/nexus-service-{0}.service"),
)


@dataclass
class Resources:
    """What is to be there on one node for one purpose. Files hold `content` (bytes) or `link`."""

    packages: list[str] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    directories: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    units: list[dict[str, Any]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Return what has to be equal for nodes to share a play: everything but the contents of files."""
        files = tuple((one["path"], one["owner"], one["group"], one["mode"], "link" in one) for one in self.files)
        rest = (self.packages, self.users, self.directories, self.absent, self.units, self.urls)
        return (files, json.dumps(rest, sort_keys=True))

    @property
    def count(self) -> int:
        """Return how many resources these are; all packages are one."""
        groups: tuple[list[Any], ...] = (self.users, self.directories, self.files, self.absent, self.units, self.urls)
        return bool(self.packages) + sum(len(group) for group in groups)


Purposes = dict[str, dict[str, Resources]]
"""By purpose and node."""


def read_resources(cluster: Cluster, folder: Path) -> Purposes:
    """Return what the cluster, which has converged, consists of. `folder` is for what is needed on the way."""
    recorded = folder / "recorded"
    recorded.mkdir(parents=True)
    for name in ("roles", "playbooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", folder)
    (folder / "roles/node-state/action_plugins/node_state.py").write_text(RECORDER)
    timed(
        ["ansible-playbook", "-i", str(cluster.folder / "hosts.yml"), str(folder / "playbooks/site.yml")],
        cwd=folder,
        environment={RECORD: str(recorded), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")},
    )
    purposes: Purposes = {}
    for path in sorted(recorded.iterdir()):
        node, _, purpose = path.stem.partition("~")
        purposes.setdefault(purpose, {})[node] = _of_role(cluster, node, json.loads(path.read_text()))
    services = cluster.intent["services"]
    for node in cluster.nodes("worker"):
        here = [name for name, service in services.items() if node in service.get("nodes", cluster.nodes("worker"))]
        purposes.setdefault("service-deploy", {})[node] = Resources(packages=["nftables"])
        _add(cluster, node, purposes["service-deploy"][node], SERVICE_PATHS)
        purposes["service-deploy"][node].units = [{"name": "nexus-services-firewall.service", "enabled": True}]
        for name in here:
            found = purposes.setdefault(f"service-{name}", {}).setdefault(node, Resources())
            _add(cluster, node, found, [path.format(name) for path in PATHS_OF_A_SERVICE])
            found.users = [{"name": f"nexus-{name}", "home": f"/opt/nexus/{name}/home", "shell": "/usr/sbin/nologin"}]
            found.units = [{"name": f"nexus-service-{name}.service", "enabled": True, "state": "started"}]
            found.urls = [f"http://127.0.0.1:{services[name]['port']}{services[name]['health']['path']}"]
    return purposes


def _of_role(cluster: Cluster, node: str, arguments: dict[str, Any]) -> Resources:
    packages = [one if isinstance(one, dict) else {"name": one} for one in arguments.get("packages") or []]
    users = [{"home": "/nonexistent", "shell": "/usr/sbin/nologin", **one} for one in arguments.get("users") or []]
    directories = [{**OWNED, "mode": "0755", **one} for one in arguments.get("directories") or []]
    files = [{**OWNED, "mode": "0644", **one} for one in arguments.get("files") or []]
    contents = {one["path"]: one for one in _read(cluster, node, [one["path"] for one in files])}
    for one in files:
        one.pop("content", None)
        one.update({key: contents[one["path"]][key] for key in ("content", "link") if key in contents[one["path"]]})
    units = [
        {key: one[key] for key in ("name", "enabled", "state") if one.get(key) is not None}
        for one in arguments.get("units") or []
        if one.get("state") in (None, "started")
    ]
    gone = [{"path": one} if isinstance(one, str) else one for one in arguments.get("absent") or []]
    absent = [one["path"] for one in gone if not one.get("only_if")]
    names = [one["name"] for one in packages if one.get("state", "present") == "present"]
    # What the role has brought by itself (`needs`): the binary of Caddy.
    brought = [one["path"] for one in arguments.get("needs") or []]
    files += _read(cluster, node, brought)
    return Resources(names, users, directories, files, absent, units)


def _add(cluster: Cluster, node: str, resources: Resources, paths: list[str] | tuple[str, ...]) -> None:
    for entry in _read(cluster, node, paths):
        (resources.files if {"content", "link"} & entry.keys() else resources.directories).append(entry)


def _read(cluster: Cluster, node: str, paths: list[str] | tuple[str, ...]) -> list[dict[str, Any]]:
    if not paths:
        return []
    found: list[dict[str, Any]] = json.loads(cluster.run(node, "python3", "-c", READER, *paths))
    for entry in found:
        if "content" in entry:
            entry["content"] = base64.b64decode(entry["content"])
    return found
