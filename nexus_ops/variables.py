"""The variables of hosts.yml: those of the roles, a pure function of the intent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nexus_ops.intent.model import GitSource, ImageSource, Intent, Node, PathSource, Role, Service, Source, Tls
from nexus_ops.ssh import ANSIBLE_ARGUMENTS

Document = dict[str, Any]


class Unsafe(str):
    """Text of the person that Ansible must not read as a template (YAML tag `!unsafe`)."""

    __slots__ = ()


def _literal(text: str) -> str:
    return Unsafe(text) if "{{" in text or "{%" in text or "{#" in text else text


def inventory_variables(intent: Intent, folder: Path, *, sudo_password: bool = False) -> Document:
    """Return what holds for every host, for the environment in `folder`. Secrets are lookups of their files.

    `sudo_password`: there is such a secret.
    """
    return {
        "nexus_cluster": intent.cluster,
        "nexus_intent_sha256": intent.sha256,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": ANSIBLE_ARGUMENTS,
        **({"ansible_become_password": _secret("sudo_password")} if sudo_password else {}),
        **_load_balancing(intent),
        **_services(intent, folder),
        **_monitoring(intent),
        **_dashboard(intent),
    }


def portable_path(path: Path, folder: Path) -> str:
    """Return `path` relative to the environment's `folder` where it lies in the same project, else as it is.

    An inventory with such paths works from wherever the project is checked out.
    """
    if str(path).startswith("~"):
        return str(path)
    absolute = path if path.is_absolute() else folder / path
    project = folder.parent.parent
    if absolute.is_relative_to(folder):
        return "{{ inventory_dir }}/" + absolute.relative_to(folder).as_posix()
    if len(project.parts) > 1 and absolute.is_relative_to(project):
        return "{{ inventory_dir }}/../../" + absolute.relative_to(project).as_posix()
    return str(absolute)


def _secret(name: str) -> str:
    return f"{{{{ lookup('ansible.builtin.file', inventory_dir ~ '/secrets/{name}') }}}}"


def _load_balancing(intent: Intent) -> Document:
    ha = intent.ha
    internal = ha.tls is Tls.INTERNAL
    return {
        "caddy_lb_tls": ha.tls.value,
        "caddy_lb_acme_email": ha.acme.email if ha.acme else "",
        "caddy_lb_acme_directory": ha.acme.directory if ha.acme else "",
        "caddy_lb_ca_certificate": _secret("ca.crt") if internal else "",
        "caddy_lb_ca_key": _secret("ca.key") if internal else "",
        "caddy_lb_virtual_ip": str(ha.virtual_ip) if ha.virtual_ip else "",
        "caddy_lb_nodes": {node.name: node.address for node in intent.with_role(Role.LB)},
        "caddy_lb_services": {
            service.name: {
                "domain": service.domain,
                "upstreams": {name: upstream_address(intent.nodes[name], service) for name in service.nodes},
                "health": {
                    "path": service.health.path,
                    "interval": service.health.interval,
                    "timeout": service.health.timeout,
                },
                "response_timeout": service.response_timeout,
            }
            for service in intent.services.values()
        },
    }


def upstream_address(node: Node, service: Service) -> str:
    """Return `host:port` of `service` on `node`, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    host = f"[{node.address}]" if ":" in node.address else node.address
    return f"{host}:{service.port}"


def _services(intent: Intent, folder: Path) -> Document:
    allowed = [node.address for node in intent.with_role(Role.LB)]
    if intent.ha.virtual_ip:
        allowed.append(str(intent.ha.virtual_ip.ip))
    return {
        "service_deploy_allowed_addresses": allowed,
        "service_deploy_services": {
            service.name: {
                "nodes": list(service.nodes),
                "source": _source(service.source, folder),
                "setup": _literal(service.setup),
                "command": _literal(service.command),
                "port": service.port,
                "env": {key: _literal(value) for key, value in service.env.items()},
                "health": {"path": service.health.path, "timeout": service.health.timeout},
                "drain_timeout": service.drain_timeout,
            }
            for service in intent.services.values()
        },
    }


def _source(source: Source, folder: Path) -> Document:
    if isinstance(source, PathSource):
        return {"path": portable_path(source.path, folder)}
    if isinstance(source, GitSource):
        return {"git": source.git, "ref": source.ref}
    if isinstance(source, ImageSource):
        archive = {"archive": portable_path(source.archive, folder)} if source.archive else {}
        return {"image": source.image, **archive}
    is_address = source.archive.startswith(("https://", "http://"))
    file = source.archive if is_address else portable_path(Path(source.archive), folder)
    return {"archive": file, "sha256": source.sha256}


def _monitoring(intent: Intent) -> Document:
    """Return the variables of the parents and children. They are whole also where monitoring is not enabled yet."""
    return {
        "nexus_monitoring": intent.monitoring.enabled,
        "netdata_node_parents": _addresses(intent.parents),
        "netdata_node_members": _addresses(intent.nodes.values()),
        "netdata_node_load_balancers": _addresses(intent.with_role(Role.LB)),
        "netdata_node_services": "{{ caddy_lb_services }}",
        "netdata_node_virtual_ip": "{{ caddy_lb_virtual_ip }}",
        "netdata_node_ca_certificate": _secret("stream_ca.crt"),
        "netdata_node_api_key": _secret("stream_api_key"),
        "netdata_parent_certificate": _secret("stream.crt"),
        "netdata_parent_key": _secret("stream.key"),
        "netdata_parent_peer_api_key": _secret("parent_api_key"),
        "netdata_parent_retention_days": intent.monitoring.retention_days,
        "netdata_parent_webhook": _literal(intent.monitoring.webhook),
        "netdata_parent_cluster": intent.cluster,
    }


def _dashboard(intent: Intent) -> Document:
    virtual_ip = intent.ha.virtual_ip
    return {
        "dashboard_cluster": intent.cluster,
        "dashboard_user": intent.monitoring.dashboard.user,
        "dashboard_password_hash": _secret("dashboard_password.bcrypt"),
        "dashboard_domain": intent.monitoring.dashboard.domain,
        "dashboard_parents": _addresses(intent.parents),
        "dashboard_nodes": [
            {
                "name": node.name,
                "address": machine_address(node),
                "roles": [role.value for role in Role if role in node.roles],
            }
            for node in intent.nodes.values()
        ],
        "dashboard_services": {
            service.name: {"domain": service.domain, "nodes": list(service.nodes)}
            for service in intent.services.values()
        },
        "dashboard_virtual_ip": str(virtual_ip) if virtual_ip else "",
        "dashboard_ca_certificate": _secret("stream_ca.crt"),
    }


def _addresses(nodes: Iterable[Node]) -> dict[str, str]:
    return {node.name: machine_address(node) for node in nodes}


def machine_address(node: Node) -> str:
    """Return the IP address of `node`: of this machine, which the intent calls localhost, that of the loopback."""
    return "127.0.0.1" if node.address == "localhost" else node.address
