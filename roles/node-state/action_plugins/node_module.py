"""Base of our Ansible actions: a module's code stays on the node, compiled, so that a call sends only its arguments.

Ansible sends the whole code of a module with each call, and the node's Python compiles it anew: most of what a call
costs there. Here, the code is kept in ~/.ansible/nexus-ops/DIGEST of the user who runs it, where the digest is that of
all our modules and of Ansible's version. Wherever that is not possible, the call is Ansible's own.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible.release import __version__

try:
    from ansible.executor.module_common import _BuiltModule as BuiltModule
except ImportError:  # it is no public name of Ansible's
    BuiltModule = None

RUN = "NEXUS_OPS_RUN"
ROLES = Path(__file__).resolve().parents[2]
PROFILE = "legacy"  # how arguments and results of Python modules are written as JSON
ABSENT = "nexus_ops_code_absent"

# What Ansible's own payload has of the module's code (ansible/executor/module_common.py).
_ZIP = re.compile(rb"^zip_data='([A-Za-z0-9+/=]+)',$", re.MULTILINE)
_NAMED = re.compile(rb"^(module_fqn|profile)='([\w.]+)',$", re.MULTILINE)

_CALL = """\
import os, pwd, sys
sys.path = [path for path in sys.path if path not in ("", ".")]
home = os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".ansible", "nexus-ops")
folder = os.path.join(home, {digest!r})
def absent(reason):
    print('{{"{absent}": true, "failed": true, "msg": "%s"}}' % reason)
    sys.exit()
{store}
try:
    about = os.stat(folder)
    if about.st_uid != os.geteuid() or about.st_mode & 0o022 or not os.path.exists(os.path.join(folder, {module!r})):
        absent("not stored")
except OSError:
    absent("not stored")
sys.path.insert(0, folder)
from ansible.module_utils._internal._ansiballz import _loader
_loader.run_module(
    json_params={params!r}, profile={profile!r}, module_fqn={module!r}, modlib_path=folder, extensions={{}}
)
"""

# The file that is named like the module says that all of the module's code is there. Of other digests, the newest stay.
_STORE = """\
import base64, io, shutil, tempfile, zipfile
def store(code):
    os.makedirs(folder, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(code))) as archive:
        for name in archive.namelist():
            path = os.path.join(folder, name)
            if os.path.exists(path):
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle, new = tempfile.mkstemp(dir=os.path.dirname(path))
            with os.fdopen(handle, "wb") as file:
                file.write(archive.read(name))
                file.flush()
                os.fsync(handle)  # or a power cut would leave empty files, and a node that cannot be managed
            os.replace(new, path)
    open(os.path.join(folder, {module!r}), "w").close()
    others = sorted((os.path.join(home, name) for name in os.listdir(home)), key=os.path.getmtime)
    for old in others[:-4]:
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
before = os.umask(0o077)
try:
    store({code!r})
except OSError:
    absent("cannot be stored")
os.umask(before)
"""


@functools.cache
def code_digest() -> str:
    """Return the digest of the code of all our modules and of Ansible's version."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted([*ROLES.glob("*/library/*.py"), *ROLES.glob("*/module_utils/**/*.py")]):
        digest.update(f"\0{path.relative_to(ROLES)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def who_runs_this() -> str:
    """Return the run of nexus-ops with its id, person and command, or who called ansible-playbook with what."""
    called = " ".join(Path(path).name for path in context.CLIARGS.get("args") or ())
    return os.environ.get(RUN) or f"{getpass.getuser()}@{socket.gethostname()} ansible-playbook {called}".rstrip()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Calls modules of our roles by what is kept on the node."""

    _stored: bool | None = None  # None: this call is Ansible's own
    _digest = code_digest()  # here, so that Ansible's worker processes inherit it

    @staticmethod
    def introduce(task: Task) -> None:
        """Put who runs this into the environment that modules of `task` get, for the journal of the node."""
        task.environment = [*(task.environment or []), {RUN: who_runs_this()}]

    def _execute_module(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Run the module: by what the node has, else with its code to keep, else as Ansible does."""
        result: dict[str, Any] = {ABSENT: True}
        for stored in (True, False, None) if self._can_be_stored(options) else (None,):
            self._stored = stored
            copied = {**options, "module_args": dict(options.get("module_args") or self._task.args)}
            result = super()._execute_module(*args, **copied)
            if not result.pop(ABSENT, False):
                break
        return result

    def _can_be_stored(self, options: dict[str, Any]) -> bool:
        known = self._interpreter(options.get("task_vars") or {}).startswith(
            "/"
        )  # Ansible does not have to look for one
        debugged = constants.DEFAULT_KEEP_REMOTE_FILES
        return (
            BuiltModule is not None
            and known
            and not debugged
            and self._is_pipelining_enabled("new", options.get("wrap_async", False))
        )

    @staticmethod
    def _interpreter(variables: dict[str, Any]) -> str:
        return str(constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables))

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        """Return what is sent to the node, and the path of the module."""
        if self._stored is None:
            return super()._configure_module(module_name, module_args, task_vars)
        module, store = f"ansible.legacy.{module_name}", ""
        if not self._stored:
            bits, path = super()._configure_module(module_name, module_args, task_vars)
            code, named = _ZIP.search(bits.b_module_data), dict(_NAMED.findall(bits.b_module_data))
            if not code or named != {b"module_fqn": module.encode(), b"profile": PROFILE.encode()}:
                return bits, path
            store = _STORE.format(module=module, code=code[1].decode())
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        script = _CALL.format(
            digest=self._digest,
            absent=ABSENT,
            store=store,
            module=module,
            profile=PROFILE,
            params=json.dumps({"ANSIBLE_MODULE_ARGS": module_args}, cls=encoder).encode(),
        )
        bits = BuiltModule(  # with what this version of Ansible wants to know of it beside that
            b_module_data=script.encode(),
            module_style="new",
            shebang=f"#!{self._interpreter(task_vars)}",
            serialization_profile=PROFILE,
        )
        return bits, module_name
