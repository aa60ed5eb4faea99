"""Rules that every role keeps: documented defaults, names with the role's prefix, and check mode without tricks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted(path.parent for path in (Path(__file__).parents[2] / "roles").glob("*/meta") if path.is_dir())
ROLES_WITH_TASKS = [role for role in ROLES if (role / "tasks").is_dir()]
# The others only hold what these share.
ROLES_TO_RUN = [role for role in ROLES if (role / "tasks/main.yml").is_file()]


def underscored(role: Path) -> str:
    return role.name.replace("-", "_")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def task_files(role: Path) -> list[Path]:
    return sorted([*(role / "tasks").rglob("*.yml"), *(role / "handlers").rglob("*.yml")])


def tasks_in(entries: Any) -> list[dict[str, Any]]:
    """Return every task of a task file, those in blocks included."""
    found = []
    for entry in entries or []:
        found.append(entry)
        for section in ("block", "rescue", "always"):
            found.extend(tasks_in(entry.get(section)))
    return found


def all_tasks(role: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, task) for path in task_files(role) for task in tasks_in(load(path))]


def test_there_are_roles() -> None:
    assert ROLES_TO_RUN


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_name_is_the_folder_with_underscores(role: Path) -> None:
    assert load(role / "meta/main.yml")["galaxy_info"]["role_name"] == underscored(role)


@pytest.mark.parametrize("role", ROLES_WITH_TASKS, ids=lambda role: role.name)
def test_defaults_and_argument_specs_have_the_same_keys(role: Path) -> None:
    """An option without a default is required; a default without an option is not documented."""
    defaults = load(role / "defaults/main.yml") or {}
    entries = load(role / "meta/argument_specs.yml")["argument_specs"]
    for name, entry in entries.items():
        options = entry.get("options") or {}
        optional = {key for key, option in options.items() if not option.get("required", False)}
        assert not set(defaults) & (set(options) - optional), f"{name}: required, so a default says nothing"
        if name == "main" or len(entries) == 1:
            assert optional == set(defaults)
        else:
            assert optional <= set(defaults), name


@pytest.mark.parametrize("role", ROLES_WITH_TASKS, ids=lambda role: role.name)
def test_every_option_is_described_and_typed(role: Path) -> None:
    for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values():
        assert entry.get("short_description")
        for key, option in (entry.get("options") or {}).items():
            assert option.get("description"), key
            assert option.get("type"), key


@pytest.mark.parametrize("role", ROLES_WITH_TASKS, ids=lambda role: role.name)
def test_public_variables_carry_the_prefix_of_the_role(role: Path) -> None:
    names = list(load(role / "defaults/main.yml") or {})
    assert [name for name in names if not name.startswith(f"{underscored(role)}_")] == []


@pytest.mark.parametrize("role", ROLES_WITH_TASKS, ids=lambda role: role.name)
def test_internal_variables_carry_the_prefix_with_two_underscores(role: Path) -> None:
    names = list(load(role / "vars/main.yml") or {})
    for _path, task in all_tasks(role):
        names.extend([task["register"]] if "register" in task else [])
        names.extend(name for name in task.get("ansible.builtin.set_fact") or {} if name != "cacheable")
        names.extend([task["loop_control"]["loop_var"]] if "loop_var" in task.get("loop_control", {}) else [])
        if "ansible.builtin.include_role" not in task and "ansible.builtin.import_role" not in task:
            names.extend(task.get("vars") or {})
    allowed = re.compile(rf"__{underscored(role)}_\w+|ansible_\w+")
    assert [name for name in names if not allowed.fullmatch(name)] == []


@pytest.mark.parametrize("role", ROLES_TO_RUN, ids=lambda role: role.name)
def test_the_usual_files_are_there(role: Path) -> None:
    for name in ("preflight", "install", "configure"):
        assert (role / f"tasks/{name}.yml").is_file(), name


@pytest.mark.parametrize("role", ROLES_WITH_TASKS, ids=lambda role: role.name)
def test_no_task_hides_a_failure_or_comes_from_a_collection(role: Path) -> None:
    for path, task in all_tasks(role):
        where = f"{path}: {task.get('name')}"
        assert "ignore_errors" not in task, where
        foreign = [key for key in task if key.count(".") >= 2 and not key.startswith("ansible.builtin.")]
        assert foreign == [], where


@pytest.mark.parametrize("role", ROLES_WITH_TASKS, ids=lambda role: role.name)
def test_task_names_start_with_a_capital(role: Path) -> None:
    for path, task in all_tasks(role):
        assert task.get("name", "")[:1].isupper(), f"{path}: {task}"
