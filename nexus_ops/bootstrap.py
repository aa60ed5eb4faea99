"""Bootstrap: from a machine that one can log in to, to a managed node."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, NexusError, UsageError
from nexus_ops.files import named_pipe
from nexus_ops.hostkeys import Survey, pin
from nexus_ops.intent.model import Intent, Node
from nexus_ops.operation import Problem, Result, run_playbook

DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


def choose_nodes(intent: Intent, names: Sequence[str]) -> list[Node]:
    """Return the nodes called `names`, by default all. Raises UsageError for an unknown name."""
    unknown = [name for name in names if name not in intent.nodes]
    if unknown:
        raise UsageError(
            f"no node {', '.join(map(repr, unknown))} in the intent (there are: {', '.join(intent.nodes)})",
            next_step="correct the name, or add it: nexus-ops node add",
        )
    return [intent.nodes[name] for name in names or intent.nodes]


def bootstrap_nodes(
    environment: Environment,
    intent: Intent,
    nodes: Sequence[Node],
    *,
    user: str | None,
    password: str | None,
    stream: TextIO,
    verbosity: int = 0,
) -> Result:
    """Make `nodes` manageable, connecting as `user` (default: each node's own) and return the run's result.

    `password` serves for ssh and sudo. It is handed over through a pipe, so that nothing is left of it however the run
    ends.
    Raises UsageError when there is no public key to give to the nodes.
    """
    variables: dict[str, object] = {
        "bootstrap_public_keys": {
            node.name: public_key(environment, node) for node in nodes if node.address != "localhost"
        }
    }
    if user:
        variables["bootstrap_user"] = user
    if password is not None:
        variables["bootstrap_password"] = {"__ansible_unsafe": password}  # braces in it are no template
    with named_pipe(json.dumps(variables)) as extra:
        result = run_playbook(
            environment,
            intent,
            "bootstrap",
            command="bootstrap",
            stream=stream,
            limit=",".join(node.name for node in nodes),
            verbosity=verbosity,
            extra_variables_file=extra,
        )
    return refuse_skipped(result, nodes)


def refuse_skipped(result: Result, nodes: Sequence[Node]) -> Result:
    """Return `result`, as a failure when it says that all went well but Ansible never came to some of `nodes`."""
    skipped = [node.name for node in nodes if node.name not in result.outcome.stats]
    if result.exit_code is not ExitCode.DONE or not skipped:
        return result
    problems = (
        Problem(name, "", "nothing was done on it", f"see: nexus-ops runs show {result.run}") for name in skipped
    )
    return replace(result, exit_code=ExitCode.FAILED, problems=tuple(problems))


def ask_password(user: str | None) -> str:
    """Return the password that the person types, or the one line on stdin when that is no terminal.

    Raises UsageError when there is none, and NexusError when sshpass, which ssh needs for it, is missing.
    """
    if shutil.which("sshpass") is None:
        raise NexusError("--ask-pass needs sshpass, which is not installed", next_step="run: apt-get install sshpass")
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {user or 'the ssh user'}: ", sys.stderr)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise UsageError("--ask-pass got no password", next_step="type it, or pipe it in as one line")
    return password


def question(survey: Survey, nodes: Sequence[Node]) -> str:
    """Return what to ask before `nodes` are bootstrapped: about keys only when `survey` found new ones."""
    names = ", ".join(node.name for node in nodes)
    return f"Pin these host keys and bootstrap {names}?" if survey.new else f"Bootstrap {names}?"


def pin_new_keys(environment: Environment, survey: Survey) -> None:
    """Pin the keys of the nodes that were new in `survey`."""
    if survey.new:
        pin(environment.known_hosts, survey.new.values())


def public_key(environment: Environment, node: Node) -> str:
    """Return the public half of the key that `node` is managed with, one line.

    Raises UsageError when there is no key, and NexusError when the private half cannot be read without a passphrase.
    """
    candidates = [node.ssh.private_key_file] if node.ssh.private_key_file else list(DEFAULT_KEYS)
    for candidate in candidates:
        private = environment.folder / Path(candidate).expanduser()
        public = private.with_name(private.name + ".pub")
        if public.is_file():
            return public.read_text(encoding="utf-8").strip()
        if private.is_file():
            done = subprocess.run(
                ["ssh-keygen", "-y", "-P", "", "-f", str(private)], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return done.stdout.strip()
            raise NexusError(
                f"{private}: its public half cannot be derived ({done.stderr.strip()})",
                next_step=f"write it beside the key: ssh-keygen -y -f {private} > {public}",
            )
    raise UsageError(
        f"no ssh key for {node.name} (looked for {', '.join(candidates)})",
        next_step="make one: ssh-keygen -t ed25519, or name one in nexus.yml: ssh: {private_key_file: …}",
    )


def exit_code(survey: Survey, result: Result | None) -> ExitCode:
    """Return the exit code of a bootstrap: a refused key counts as failed, a silent node as unreachable."""
    if survey.refused:
        return ExitCode.FAILED
    if result is not None and result.exit_code is not ExitCode.DONE:
        return result.exit_code
    return ExitCode.UNREACHABLE if survey.silent else ExitCode.DONE
