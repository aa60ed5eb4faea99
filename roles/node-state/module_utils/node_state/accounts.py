"""System users, and names of owners."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

from ansible.module_utils.node_state.commands import checked
from ansible.module_utils.node_state.errors import StateError

NO_LOGIN = ("nologin", "false")


def uid_of(name: str) -> int | None:
    """Return a user's number, None when there is no such user."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def gid_of(name: str) -> int | None:
    """Return a group's number, None when there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def owner_of(owner: str, group: str) -> tuple[int, int]:
    """Return user and group number. Raises StateError when one of them does not exist."""
    uid, gid = uid_of(owner), gid_of(group)
    if uid is None or gid is None:
        raise StateError(f"there is no {f'user {owner}' if uid is None else f'group {group}'} on this node")
    return uid, gid


def check_free(name: str, purpose: str) -> None:
    """Raise StateError when the account `name` is that of somebody who logs in: what runs as it could do the same."""
    try:
        shell = pwd.getpwnam(name).pw_shell
    except KeyError:
        return
    if Path(shell).name not in NO_LOGIN:
        raise StateError(f"the account {name} is somebody's, who logs in with {shell}; give {purpose} another name")


def plan_user(user: dict[str, Any]) -> tuple[str, list[str]] | None:
    """Return what is to be done for a user, as a sentence and a command; None when all is well.

    Home and shell of a user who exists are left alone (usermod refuses while one of its programs runs).
    """
    name = user["name"]
    exists = uid_of(name) is not None
    if user["state"] == "absent":
        return (f"remove user {name}", ["userdel", name]) if exists else None
    groups = user["groups"]
    if not exists:
        own = ["--gid", name] if gid_of(name) is not None else ["--user-group"]
        more = ["--groups", ",".join(groups)] if groups else []
        fixed = ["--system", "--no-create-home", "--home-dir", user["home"], "--shell", user["shell"]]
        return f"create user {name}", ["useradd", *fixed, *own, *more, name]
    member_of = set(os.getgrouplist(name, pwd.getpwnam(name).pw_gid))
    missing = [group for group in groups if gid_of(group) not in member_of]
    if missing:
        return f"add user {name} to {', '.join(missing)}", ["usermod", "--append", "--groups", ",".join(missing), name]
    return None


def change_user(command: list[str]) -> None:
    """Run what `plan_user` returned. Raises StateError."""
    checked(command)
