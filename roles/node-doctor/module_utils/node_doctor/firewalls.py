"""Which chains of this node's firewalls can drop packets, so that a blocked port can be traced to its cause."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

OURS = ("nexus_",)
HOOKS = ("input", "output")
FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def dropping_chains() -> dict[str, list[str]]:
    """Return by hook (input, output) the chains that drop or reject, but our own; none where it cannot be told."""
    rules = _output("nft", "--json", "list", "ruleset")
    if rules:
        try:
            return read_ruleset(json.loads(rules))
        except (ValueError, KeyError, TypeError):
            return {hook: [] for hook in HOOKS}
    found: dict[str, list[str]] = {hook: [] for hook in HOOKS}
    for program in ("iptables", "ip6tables"):
        for hook in HOOKS:
            listing = _output(program, "-S", hook.upper())
            if any(word in listing for word in (" DROP", " REJECT")):
                found[hook].append(f"chain {hook.upper()} of {program}")
    return found


def read_ruleset(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the same from nft's JSON (libnftables-json(5)): base chains of filters, with chains that they lead to."""
    entries = document["nftables"]
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for entry in entries:
        if rule := entry.get("rule"):
            verdicts.setdefault((rule["family"], rule["table"], rule["chain"]), set()).update(_verdicts(rule["expr"]))
    found: dict[str, list[str]] = {hook: [] for hook in HOOKS}
    for entry in entries:
        chain = entry.get("chain") or {}
        if chain.get("hook") not in HOOKS or chain["table"].startswith(OURS):
            continue
        drops = chain.get("policy") == "drop"
        if drops or _can_drop((chain["family"], chain["table"], chain["name"]), verdicts, set()):
            policy = ", policy drop" if drops else ""
            found[chain["hook"]].append(f"chain {chain['name']} of table {chain['family']} {chain['table']}{policy}")
    return found


def _verdicts(expressions: list[Any]) -> set[str]:
    """Return `drop` and `>CHAIN` for what a rule may do with a packet."""
    found = set()
    for expression in expressions:
        if not isinstance(expression, dict):
            continue
        if "drop" in expression or "reject" in expression:
            found.add("drop")
        for word in ("jump", "goto"):
            if word in expression:
                found.add(f">{expression[word]['target']}")
    return found


def _can_drop(
    chain: tuple[str, str, str], verdicts: dict[tuple[str, str, str], set[str]], seen: set[tuple[str, str, str]]
) -> bool:
    if chain in seen:
        return False
    seen.add(chain)
    here = verdicts.get(chain, set())
    return "drop" in here or any(
        _can_drop((chain[0], chain[1], word[1:]), verdicts, seen) for word in here if word[0] == ">"
    )


def _output(program: str, *arguments: str) -> str:
    path = shutil.which(program, path=FOLDERS)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=10,
            env={**os.environ, "PATH": FOLDERS},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
