"""What this machine offers: programs, limits, the trust and package settings that sandbox hosts need as well."""

from __future__ import annotations

import configparser
import os
import platform
import re
import resource
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_ops.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOCAL_CERTIFICATES = (Path("/usr/local/share/ca-certificates"), Path("/etc/pki/ca-trust/source/anchors"))
PIP_FILES = (Path("/etc/pip.conf"), Path("~/.pip/pip.conf"), Path("~/.config/pip/pip.conf"))
PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "default-timeout", "timeout")
OPEN_FILES = 20000  # enough for any host; far below what podman would ask for, which containers of ours may be denied
PROCESSES = 20000


def check_requirements() -> None:
    """Raise NexusError that names everything that is missing, with the command to get it."""
    if platform.system() != "Linux":
        raise NexusError(
            f"the sandbox needs Linux, this is {platform.system()}", next_step="run it in a Linux virtual machine"
        )
    if os.geteuid() != 0:
        raise NexusError(
            "the sandbox needs root: its hosts boot systemd and have network addresses of their own",
            next_step="run it with sudo",
        )
    # podman's network needs iptables (netavark before 1.10 knows nothing else), and Debian does not install it with it.
    needed = ("podman", "ip", "iptables", "nsenter", "ssh", "ssh-keygen")
    missing = [program for program in needed if shutil.which(program) is None]
    if not has_pure_cgroup2() and shutil.which("runc") is None:
        missing.append("runc")  # crun does not run on the older or mixed layout of control groups
    if missing:
        packages = {"ip": "iproute2", "nsenter": "util-linux", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
        names = sorted({packages.get(program, program) for program in missing})
        raise NexusError(
            f"not installed here: {', '.join(missing)}", next_step=f"install it: apt-get install {' '.join(names)}"
        )


def has_pure_cgroup2() -> bool:
    """Return whether control groups version 2 are all there is (not the older or the mixed layout)."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def runtime_arguments() -> list[str]:
    """Return podman's global arguments that choose the OCI runtime: runc where crun would not start."""
    return [] if has_pure_cgroup2() or shutil.which("runc") is None else ["--runtime", "runc"]


def limit_arguments() -> list[str]:
    """Return the `--ulimit` arguments: never above this process's own hard limits, which could not be raised."""
    return [
        argument
        for name, limit, wanted in (
            ("nofile", resource.RLIMIT_NOFILE, OPEN_FILES),
            ("nproc", resource.RLIMIT_NPROC, PROCESSES),
        )
        for argument in ("--ulimit", _ulimit(name, resource.getrlimit(limit)[1], wanted))
    ]


def _ulimit(name: str, ours: int, wanted: int) -> str:
    value = wanted if ours == resource.RLIM_INFINITY else min(ours, wanted)
    return f"{name}={value}:{value}"


def certificates() -> list[str]:
    """Return the CA certificates (PEM) that this machine trusts beyond those of its distribution.

    They are the ones added by its administrator, and those of `$SSL_CERT_FILE` when that is not the system's bundle.
    """
    files = [file for folder in LOCAL_CERTIFICATES if folder.is_dir() for file in sorted(folder.rglob("*.crt"))]
    bundle = os.environ.get("SSL_CERT_FILE", "")
    if bundle and Path(bundle).is_file() and not _is_system_bundle(Path(bundle)):
        files.append(Path(bundle))
    return list(dict.fromkeys(pem for file in files for pem in _split_pem(file.read_text(errors="replace"))))


def _is_system_bundle(bundle: Path) -> bool:
    default = ssl.get_default_verify_paths().openssl_cafile
    system = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"), Path(default))
    return any(candidate.exists() and bundle.samefile(candidate) for candidate in system)


def _split_pem(text: str) -> list[str]:
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, flags=re.DOTALL)
    return [f"{block}\n" for block in blocks]


def apt_settings() -> str:
    """Return the apt.conf lines that hosts need to reach the package sources: proxies, https, date checks."""
    lines: list[str] = []
    if shutil.which("apt-config") is not None:
        done = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
    return select_apt_settings(lines, os.environ)


def select_apt_settings(dump: Iterable[str], environment: Mapping[str, str]) -> str:
    """Return from the output of `apt-config dump` what sandbox hosts need, with the proxies of `environment` added."""
    wanted = re.compile(r"Acquire::(https?::|Check-Valid-Until |Check-Date |Retries )")
    lines = [line for line in dump if wanted.match(line) and not line.endswith(' "";')]
    for scheme in ("http", "https"):
        proxy = environment.get(f"{scheme}_proxy", "")
        if proxy and not any(line.startswith(f"Acquire::{scheme}::Proxy ") for line in lines):
            lines.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return "".join(f"{line}\n" for line in lines)


def pip_settings() -> str:
    """Return a pip.conf for hosts: the package index that pip uses here, and the system's trusted certificates."""
    found: dict[str, str] = {}
    for file in PIP_FILES:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file.expanduser())
        except (OSError, configparser.Error):
            continue
        if parser.has_section("global"):
            found.update(parser.items("global"))
    found.update(
        (name.removeprefix("PIP_").lower().replace("_", "-"), value)
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    )
    return select_pip_settings(found)


def select_pip_settings(found: Mapping[str, str]) -> str:
    """Return a pip.conf with those settings of `found` that also hold on another machine: no local folders."""
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt"]
    for key in PIP_KEYS:
        words = found.get(key, "").split()
        if "index" in key or "links" in key:
            words = [word for word in words if word.startswith(("http://", "https://"))]
        if words:
            lines.append(f"{key} = {' '.join(words)}")
    return "".join(f"{line}\n" for line in lines)


def package_sources(suite: str) -> list[str]:
    """Return this machine's own Debian package sources as one-line entries for `suite`; empty: it has none."""
    if shutil.which("apt-get") is None:
        return []
    done = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(CREATED_BY) $(TARGET_OF) $(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return select_package_sources(done.stdout.splitlines(), suite)


def select_package_sources(targets: Iterable[str], suite: str) -> list[str]:
    """Return `deb …` lines for `suite`, its updates and its security updates, out of `apt-get indextargets` lines.

    Where this machine runs another release of Debian, its mirrors are asked for `suite` in place of that.
    """
    entries: dict[tuple[str, str], list[str]] = {}
    fields = [target.split() for target in targets]
    debian = [each[2:5] for each in fields if len(each) == 6 and each[:2] + each[5:] == ["Packages", "deb", "Debian"]]
    releases = [release for _, release, _ in debian if "-" not in release]
    ours = suite if suite in releases else next(iter(releases), suite)
    for uri, found, component in debian:
        release = suite + found.removeprefix(ours) if found.startswith(ours) else found
        if release in {suite, f"{suite}-updates", f"{suite}-security"}:
            components = entries.setdefault((uri, release), [])
            if component not in components:
                components.append(component)
    if not any(release == suite for _, release in entries):
        return []  # another distribution: its mirror need not have ours
    return [f"deb {uri} {release} {' '.join(components)}" for (uri, release), components in entries.items()]
