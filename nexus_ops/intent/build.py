"""From a document without faults to the model, with every default filled in."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from nexus_ops.intent.draft import DEFAULT_SSH_PORT
from nexus_ops.intent.model import (
    Acme,
    ArchiveSource,
    Dashboard,
    GitSource,
    Ha,
    Health,
    ImageSource,
    Intent,
    Monitoring,
    Node,
    Objective,
    PathSource,
    Role,
    Service,
    Source,
    Ssh,
    Tls,
)

if TYPE_CHECKING:
    from nexus_ops.intent.draft import Draft, Section

DEFAULT_SSH_USER = "root"


def build_intent(draft: Draft, sha256: str) -> Intent:
    """Return the model of `draft`, in which no fault was found; `sha256` is that of the file."""
    return Intent(
        cluster=draft.cluster,
        nodes={name: _node(draft, name) for name in draft.nodes},
        ha=_ha(draft.ha),
        services={name: _service(draft, name) for name in draft.services},
        monitoring=_monitoring(draft.monitoring, enabled=draft.is_monitored),
        sha256=sha256,
    )


def _node(draft: Draft, name: str) -> Node:
    section, ssh = draft.nodes[name], draft.ssh_of(name)
    key = ssh.get("private_key_file")
    if key is not None and not key.startswith("~"):
        key = str(draft.local_path(key))
    return Node(
        name=name,
        address=section["address"],
        roles=frozenset(Role(role) for role in section["roles"]),
        ssh=Ssh(ssh.get("user", DEFAULT_SSH_USER), int(ssh.get("port", DEFAULT_SSH_PORT)), key),
    )


def _ha(section: Section) -> Ha:
    virtual_ip = section.get("virtual_ip")
    acme = section.get("acme")
    return Ha(
        virtual_ip=None if virtual_ip is None else ipaddress.ip_interface(virtual_ip),
        tls=Tls(section.get("tls") or Tls.OFF),  # an unquoted off is YAML's false
        acme=None if acme is None else Acme(**acme),
        objective=Objective(**(section.get("objective") or {})),
    )


def _service(draft: Draft, name: str) -> Service:
    section = draft.services[name]
    optional: dict[str, Any] = {
        key: section[key] for key in ("setup", "drain_timeout", "response_timeout") if key in section
    }
    variables = section.get("env") or {}
    return Service(
        name=name,
        source=_source(draft, section["source"]),
        command=section.get("command", ""),
        port=int(section["port"]),
        nodes=tuple(draft.placement(name)),
        # As written: 1.10 stays 1.10 and yes stays yes.
        env={variable: draft.document.written(("services", name, "env", variable)) for variable in variables},
        health=Health(**(section.get("health") or {})),
        domain=section.get("domain", "").lower(),
        **optional,
    )


def _source(draft: Draft, section: Section) -> Source:
    match section:
        case {"path": path}:
            return PathSource(draft.local_path(path))
        case {"git": git, "ref": ref}:
            is_local = git.startswith(("./", "../", "~/"))
            return GitSource(str(draft.local_path(git)) if is_local else git, ref)
        case {"archive": archive, "sha256": sha256}:
            is_address = archive.startswith(("https://", "http://"))
            return ArchiveSource(archive if is_address else str(draft.local_path(archive)), sha256.lower())
        case _:
            archive = section.get("archive")
            return ImageSource(section["image"], None if archive is None else draft.local_path(archive))


def _monitoring(section: Section, *, enabled: bool) -> Monitoring:
    dashboard = dict(section.get("dashboard") or {})
    if "domain" in dashboard:
        dashboard["domain"] = dashboard["domain"].lower()
    return Monitoring(
        enabled=enabled,
        retention_days=int(section.get("retention_days", Monitoring.retention_days)),
        dashboard=Dashboard(**dashboard),
        webhook=(section.get("alerts") or {}).get("webhook", ""),
    )
