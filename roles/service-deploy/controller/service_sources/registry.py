"""Image names, and what a registry says their tags are now (the OCI distribution API, read only)."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from service_sources.download import AGENT, reason_of
from service_sources.errors import SourceError

TIMEOUT = 30.0  # seconds
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ACCEPTED = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
UNAUTHORIZED = 401


def check_name(service: str, name: str) -> None:
    """Raise SourceError for a name that would not mean the same image on every worker."""
    host = name.partition("/")[0]
    if "/" not in name or not ("." in host or ":" in host or host == "localhost"):
        raise SourceError(
            f"service {service}: the image {name} names no registry; write it in full, as "
            f"registry.example.com/{name}, or deploy it out of a file with source.archive"
        )
    if "@" in name and not DIGEST.fullmatch(name.rpartition("@")[2]):
        raise SourceError(
            f"service {service}: the image {name} has no digest after the @; write sha256:, 64 hex digits"
        )


def pinned(service: str, name: str) -> str:
    """Return the image's name with the digest that its tag stands for now. Raises SourceError."""
    check_name(service, name)
    plain, _, digest = name.partition("@")
    host, _, path = plain.partition("/")
    path, _, tag = path.partition(":")
    if not digest:
        digest = _digest_of(service, name, host, f"https://{host}/v2/{path}/manifests/{tag or 'latest'}")
    return f"{host}/{path}@{digest}"


def _digest_of(service: str, name: str, host: str, address: str) -> str:
    try:
        try:
            body = _ask(address, "")
        except urllib.error.HTTPError as error:
            if error.code != UNAUTHORIZED:
                raise
            body = _ask(address, _authorization(host, error.headers.get("WWW-Authenticate", "")))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SourceError(
            f"service {service}: cannot ask the registry {host} what {name} is: {reason_of(error)}; see that the "
            "controller reaches it and has logged in there (podman login), or write the image with its digest"
        ) from None
    return f"sha256:{hashlib.sha256(body).hexdigest()}"  # by definition


def _ask(address: str, authorization: str) -> bytes:
    headers = {"User-Agent": AGENT, "Accept": ACCEPTED}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  always https
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310  as above
        body: bytes = answer.read()
    return body


def _authorization(host: str, challenge: str) -> str:
    """Return the header that answers a registry's challenge: a token's, or the login itself."""
    login = _login(host)
    basic = f"Basic {login}" if login else ""
    if not challenge.lower().startswith("bearer "):
        return basic
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = said.pop("realm", "")
    if not realm.startswith("https://"):
        raise ValueError("it wants a token from an address that is not https")
    query = urllib.parse.urlencode({key: said[key] for key in ("service", "scope") if key in said})
    answer = json.loads(_ask(f"{realm}?{query}", basic))
    return f"Bearer {answer.get('token') or answer['access_token']}"


def _login(host: str) -> str:
    """Return what podman or docker keep of a login to `host` (user and password in base64), empty without one."""
    home, runtime = Path.home(), os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    files = [Path(runtime, "containers/auth.json"), home / ".config/containers/auth.json", home / ".docker/config.json"]
    if os.geteuid() == 0:
        files.insert(0, Path("/run/containers/0/auth.json"))
    if chosen := os.environ.get("REGISTRY_AUTH_FILE"):
        files.insert(0, Path(chosen))
    for file in files:
        try:
            known = json.loads(file.read_bytes())["auths"][host]["auth"]
            base64.b64decode(known, validate=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return str(known)
    return ""
