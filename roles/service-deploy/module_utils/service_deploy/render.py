"""The texts that a service needs on a node: its environment and its systemd unit. Nothing here touches the node."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from ansible.module_utils.service_deploy import container
from ansible.module_utils.service_deploy.firewall import NFT, RULES, TABLE
from ansible.module_utils.service_deploy.images import PODMAN

if TYPE_CHECKING:
    from ansible.module_utils.service_deploy.model import Service

# Words that `exec` cannot take as a program (dash: keywords and builtins that are no programs of their own).
NOT_PROGRAMS = frozenset(
    (
        *("!", "{", "}", "[[", ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done"),
        *("elif", "else", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for", "function", "getopts"),
        *("hash", "if", "in", "jobs", "local", "read", "readonly", "return", "select", "set", "shift", "source"),
        *("then", "time", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while"),
    )
)
PRIVILEGED_PORTS = 1024
HEADER = "# Written by Nexus Ops from nexus.yml; the next run replaces what is changed here.\n"
GUARD = f"""\
# Without the firewall's table the port would be open to everybody; somebody may have flushed all rules.
ExecStartPre=+/bin/sh -c "{NFT} list table inet {TABLE} >/dev/null 2>&1 || {NFT} -f {RULES}"
"""


def quote_variable(value: str) -> str:
    r"""Return `value` as an EnvironmentFile= takes it (systemd.exec(5)): quoted, with \ before " \ ` and $."""
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'


def secrets_of(service: Service) -> dict[str, str]:
    """Return the quoted values of a service's variables by the placeholder in `environment_text`."""
    return {name: quote_variable(service.environment[key]) for name, key in _placeholders(service)}


def environment_text(service: Service) -> str:
    """Return the environment file, with placeholders in place of the values: diffs never show those."""
    variables = "".join(f"{key}=@@{name}@@\n" for name, key in _placeholders(service) if key != "PORT")
    return f"{HEADER}{variables}PORT={service.port}\n"


def filled_in(text: str, secrets: dict[str, str]) -> str:
    """Return `text` with the placeholders replaced."""
    return re.sub(r"@@([A-Z0-9_]+)@@", lambda match: secrets[match.group(1)], text)


def _placeholders(service: Service) -> list[tuple[str, str]]:
    prefix = re.sub(r"[^A-Z0-9]", "_", service.name.upper())
    return [(f"{prefix}_{number}_{key.upper()}", key) for number, key in enumerate(sorted(service.environment))]


def is_one_program(command: str) -> bool:
    """Return whether a shell command is a single program that the shell can turn into, by `exec`."""
    if "\n" in command or "`" in command or "$(" in command:
        return False
    try:
        lexer = shlex.shlex(command, posix=False, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return False
    if not words or words[0] in NOT_PROGRAMS or "=" in words[0]:
        return False
    return all(set(word) <= set("<>") or not set(word) & set("();<>|&") or word[0] in "\"'" for word in words)


def quote_for_systemd(text: str) -> str:
    r"""Return one word of ExecStart= (systemd.service(5), "Command lines"): no variable, specifier or quote is read.

    `@@` would be taken for a placeholder of a secret, so it is written with an escape.
    """
    for plain, quoted in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$"), ("\n", "\\n"), ("@@", "@\\x40")):
        text = text.replace(plain, quoted)
    return f'"{text}"'


def _unit_head(service: Service) -> str:
    return f"""{HEADER}[Unit]
Description=Nexus Ops service {service.name}
Wants=network-online.target nexus-services-firewall.service
After=network-online.target nexus-services-firewall.service
StartLimitIntervalSec=0

"""


def unit_text(service: Service) -> str:
    """Return the systemd unit of a service."""
    command = service.command.strip()
    single = is_one_program(command)
    low_port = "CAP_NET_BIND_SERVICE" if service.port < PRIVILEGED_PORTS else ""
    if service.image:
        return _container_unit_text(service, f"exec {command}" if single else command, low_port)
    ambient = f"AmbientCapabilities={low_port}\n" if low_port else ""
    # A shell that stays between would die of the first SIGTERM and leave its program to SIGKILL: tell all of them then.
    kill_mode = "mixed" if single else "control-group"
    place = service.place
    return f"""{_unit_head(service)}[Service]
Type=exec
User={place.user}
Group={place.user}
WorkingDirectory={place.current}
EnvironmentFile={place.environment_file}
{GUARD}ExecStart=/bin/sh -c {quote_for_systemd(f"exec {command}" if single else command)}
Restart=always
RestartSec=1
KillMode={kill_mode}
TimeoutStopSec={service.drain_timeout}
StateDirectory=nexus-{service.name}
StateDirectoryMode=0750
UMask=0027

NoNewPrivileges=yes
CapabilityBoundingSet={low_port}
{ambient}ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
# AF_NETLINK: programs read their own addresses by it.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def _container_unit_text(service: Service, command: str, capability: str) -> str:
    """Return the unit of a service out of an image; what confines it are podman's options, not systemd's."""
    place, name, seconds = service.place, container.name_of(service), container.stop_seconds(service)
    return f"""{_unit_head(service)}[Service]
Type=notify
NotifyAccess=all
Delegate=yes
EnvironmentFile={place.environment_file}
{GUARD}ExecStartPre=/usr/bin/install -d -m 0750 -o {place.user} -g {place.user} {container.data_folder(service)}
ExecStart=/bin/sh -c {quote_for_systemd(container.run_text(service, command, capability))}
ExecStop={PODMAN} --events-backend=none stop --ignore --time {seconds} {name}
ExecStopPost={PODMAN} --events-backend=none rm --force --ignore {name}
SuccessExitStatus={container.STOPPED}
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec={seconds + container.PATIENCE}s

[Install]
WantedBy=multi-user.target
"""
