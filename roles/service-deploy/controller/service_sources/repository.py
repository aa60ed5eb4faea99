"""Sources of the kind `git`: the files of one commit, by way of a bare copy of the repository in the cache."""

from __future__ import annotations

import hashlib
import re
import tarfile
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from service_sources.entries import Entry
from service_sources.errors import SourceError
from service_sources.programs import ANSWER_TIMEOUT, FETCH_TIMEOUT, GitRefusedError, git, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
BEGIN_OF_COMMIT = re.compile(r"[0-9a-f]{4,63}")
WHOLE_HISTORY = "--depth=2147483647"  # git's own word for it, which also holds where the copy is whole already
ATTRIBUTES = (
    "* -export-ignore -export-subst\n"  # a release holds what a checkout does; this file wins over the commit's
)


class Repository:
    """A git repository at `address`, with its bare copy below `cache`."""

    def __init__(self, service: str, address: str, cache: Path) -> None:
        """Make the bare copy if there is none yet. Raises SourceError."""
        self.service = service
        self.address = address
        self.folder = cache / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.git"
        if address.startswith("-"):
            raise SourceError(f"service {service}: {address} is no address of a git repository; correct source.git")
        if not (self.folder / "HEAD").exists():
            git(service, "init", "--quiet", "--bare", str(self.folder))
        attributes = self.folder / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text(ATTRIBUTES, encoding="utf-8")

    def pin(self, ref: str) -> str:
        """Return the commit that `ref` (branch, tag or commit) is now, and have it here. Raises SourceError.

        A full commit that is here already needs no network.
        """
        if COMMIT.fullmatch(ref) and self._has(ref):
            return ref
        commit = self._ask(ref)
        if commit and self._has(commit):
            return commit
        if not commit and COMMIT.fullmatch(ref):
            commit = ref  # a server that allows it sends any commit it has, whether a branch leads there or not
        self._fetch(commit)
        if found := self._find(commit or ref):
            return found
        if BEGIN_OF_COMMIT.fullmatch(ref) and (commit := self._ask_for_tip(ref)):
            self._fetch(commit)
            if found := self._find(commit):
                return found
        raise SourceError(
            f"service {self.service}: {self._shown} has no branch, tag or commit {ref}; correct source.ref"
        )

    def entries(self, commit: str, scratch: IO[bytes]) -> Iterator[Entry]:
        """Yield what `commit` holds, unordered; `scratch` must stay open until the entries are read."""
        self._refuse_submodules(commit)
        self._git("archive", "--format=tar", f"--output={scratch.name}", commit, timeout=FETCH_TIMEOUT)
        archive = tarfile.open(scratch.name)  # noqa: SIM115  read by the entries later on
        for member in archive:
            if member.issym():
                yield Entry(member.name, executable=False, target=member.linkname, size=0, open=lambda: scratch)
            elif member.isfile():
                # Members are read one after the other, and never two at once.
                yield Entry(
                    member.name,
                    executable=bool(member.mode & 0o100),
                    target="",
                    size=member.size,
                    open=partial(_open, archive, member),
                )

    def _git(self, *arguments: str, timeout: float = ANSWER_TIMEOUT) -> bytes:
        return git(self.service, "-C", str(self.folder), *arguments, timeout=timeout)

    @property
    def _shown(self) -> str:
        return without_credentials(self.address)

    def _has(self, commit: str) -> bool:
        try:
            self._git("cat-file", "-e", f"{commit}^{{commit}}")
        except GitRefusedError:
            return False
        return True

    def _find(self, ref: str) -> str:
        """Return the commit that `ref` is in the copy, empty when it is not there, or is the begin of several."""
        try:
            found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        except GitRefusedError:
            return ""
        return found.decode().strip()

    def _ask_for_tip(self, begin: str) -> str:
        """Return the commit that begins so and that any ref of the repository (a pull request, say) leads to."""
        answer = git(self.service, "ls-remote", "--", self.address)
        found = {line.split("\t")[0] for line in answer.decode().splitlines() if line.startswith(begin)}
        return found.pop() if len(found) == 1 else ""

    def _ask(self, ref: str) -> str:
        """Return the commit that the repository says a branch or tag is, empty when it knows none of that name."""
        names = [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]
        wanted = [form for name in names for form in (f"{name}^{{}}", name)]  # an annotated tag stands for its commit
        try:
            answer = git(self.service, "ls-remote", "--", self.address, *wanted)
        except GitRefusedError as error:
            raise self._unreachable(error) from None
        known = {name: commit for commit, name in (line.split("\t") for line in answer.decode().splitlines())}
        return next((known[form] for form in wanted if form in known), "")

    def _fetch(self, commit: str) -> None:
        """Fetch `commit` where the server allows it, else all branches and tags with their whole history."""
        everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        into = ["fetch", "--quiet", "--force"]
        if commit:
            wanted = f"+{commit}:refs/nexus/{commit}"
            try:
                self._git(*into, "--depth=1", "--", self.address, wanted, timeout=FETCH_TIMEOUT)
            except GitRefusedError:
                pass
            else:
                return
        try:
            self._git(*into, "--prune", WHOLE_HISTORY, "--", self.address, *everything, timeout=FETCH_TIMEOUT)
        except GitRefusedError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: GitRefusedError) -> SourceError:
        return SourceError(
            f"service {self.service}: cannot read the repository {self._shown}: {error.words}; "
            f"see that `git ls-remote {self._shown}` works here on the controller"
        )

    def _refuse_submodules(self, commit: str) -> None:
        tree = self._git("ls-tree", "-r", "-z", commit)
        for line in tree.split(b"\0"):
            if line.startswith(b"160000 "):
                path = line.split(b"\t", 1)[1].decode("utf-8", "replace")
                raise SourceError(
                    f"service {self.service}: {self._shown} has a submodule at {path}, which git archive leaves out; "
                    "check the repository out with its submodules and deploy that folder with source.path"
                )


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(member))  # None only for what is no file
