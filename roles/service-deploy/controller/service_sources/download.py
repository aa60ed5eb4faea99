"""Files from an address, kept in the cache by their checksum."""

from __future__ import annotations

import base64
import hashlib
import http.client
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from service_sources.entries import BLOCK, sha256_of
from service_sources.errors import SourceError
from service_sources.programs import FETCH_TIMEOUT, without_credentials

SILENCE_TIMEOUT = 30.0  # seconds without a byte
AGENT = "nexus-ops"


def is_address(text: str) -> bool:
    """Return whether an archive is to be fetched."""
    return text.startswith(("http://", "https://"))


def shown(address: str) -> str:
    """Return an address as it may stand in a message: without password and without what follows a question mark."""
    return without_credentials(address).partition("?")[0] if is_address(address) else address


def request_for(address: str) -> urllib.request.Request:
    """Return the request for an address; a user and password in it are sent as such, and to its host alone."""
    parts = urllib.parse.urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    plain = parts._replace(netloc=host).geturl()
    request = urllib.request.Request(plain, headers={"User-Agent": AGENT})  # noqa: S310  is_address saw to that
    if login:
        word = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    return request


def reason_of(error: Exception) -> str:
    """Return in words why an address did not answer as wanted."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


def fetched(service: str, address: str, sha256: str, cache: Path) -> Path:
    """Return the file with that checksum, in `cache`; fetched only where it is not there. Raises SourceError."""
    path = cache / f"{sha256}.download"
    if path.exists() and sha256_of(path) == sha256:
        path.touch()
        return path
    with tempfile.NamedTemporaryFile(dir=cache, prefix=".download-", delete=False) as stream:
        staged = Path(stream.name)
        try:
            found = _copy(address, stream)  # type: ignore[arg-type]
            stream.flush()
            if found != sha256:
                raise SourceError(
                    f"service {service}: what {shown(address)} sends has the SHA-256 {found}, source.sha256 says "
                    f"{sha256}; correct the one that is wrong (nothing was touched)"
                )
            staged.replace(path)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise SourceError(
                f"service {service}: cannot fetch {shown(address)}: {reason_of(error)}; "
                "see that the controller reaches it, or correct source.archive"
            ) from None
        finally:
            staged.unlink(missing_ok=True)
    return path


def _copy(address: str, stream: IO[bytes]) -> str:
    """Write what the address sends, and return its SHA-256 in hex."""
    ends = time.monotonic() + FETCH_TIMEOUT
    digest = hashlib.sha256()
    with urllib.request.urlopen(request_for(address), timeout=SILENCE_TIMEOUT) as answer:  # noqa: S310  as above
        while block := answer.read(BLOCK):
            digest.update(block)
            stream.write(block)
            if time.monotonic() > ends:
                raise TimeoutError(f"it is not here within {FETCH_TIMEOUT:g} s")
        if answer.length:  # read(n) does not say that the answer ended early
            raise ConnectionError("the connection broke off")
    return digest.hexdigest()
