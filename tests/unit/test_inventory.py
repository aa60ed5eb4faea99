"""The inventory is a pure function of the intent and of who was in the last one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nexus_ops.environment import Environment
from nexus_ops.intent.edit import remove_node
from nexus_ops.intent.model import ArchiveSource, ImageSource, Intent
from nexus_ops.intent.write import write_intent
from nexus_ops.inventory import (
    build_inventory,
    is_stale,
    read_inventory,
    refresh_inventory,
    render_inventory,
    retired_hosts,
)
from nexus_ops.variables import portable_path


def test_groups_and_hosts(environment: Environment, intent: Intent) -> None:
    inventory = build_inventory(intent, environment.folder)["all"]
    assert {group: list(body["hosts"]) for group, body in inventory["children"].items()} == {
        "manager": ["mgr1"],
        "lb": ["lb1", "lb2"],
        "worker": ["w1", "w2"],
        "retired_worker": [],
        "retired_lb": [],
        "retired_node": [],
    }
    assert inventory["hosts"]["w1"] == {"ansible_host": "192.0.2.31", "ansible_user": "ops"}
    assert inventory["hosts"]["w2"] == {"ansible_host": "192.0.2.32", "ansible_user": "root", "ansible_port": 2222}


def test_variables(environment: Environment, intent: Intent) -> None:
    variables = build_inventory(intent, environment.folder)["all"]["vars"]
    assert variables["caddy_lb_virtual_ip"] == "192.0.2.100/24"
    assert variables["caddy_lb_services"]["web"]["upstreams"] == {"w1": "192.0.2.31:8080", "w2": "192.0.2.32:8080"}
    assert variables["service_deploy_services"]["web"]["source"] == {"path": "{{ inventory_dir }}/apps/web"}
    assert variables["service_deploy_allowed_addresses"] == ["192.0.2.21", "192.0.2.22", "192.0.2.100"]
    assert variables["nexus_intent_sha256"] == intent.sha256


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (
            ArchiveSource("/srv/ops/inventories/prod/web.tar", "0a"),
            {"archive": "{{ inventory_dir }}/web.tar", "sha256": "0a"},
        ),
        (
            ArchiveSource("https://files.example.com/web.tar", "0a"),
            {"archive": "https://files.example.com/web.tar", "sha256": "0a"},
        ),
        (
            ImageSource("web", Path("/srv/ops/inventories/prod/web.tar")),
            {"image": "web", "archive": "{{ inventory_dir }}/web.tar"},
        ),
        (ImageSource("registry.example.com/web"), {"image": "registry.example.com/web"}),
    ],
)
def test_sources(intent: Intent, source: ArchiveSource | ImageSource, written: dict[str, str]) -> None:
    services = {"web": replace(intent.services["web"], source=source)}
    inventory = build_inventory(replace(intent, services=services), Path("/srv/ops/inventories/prod"))
    assert inventory["all"]["vars"]["service_deploy_services"]["web"]["source"] == written


def test_text_of_the_person_is_no_template(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    text = environment.hosts.read_text()
    assert "BRACES: !unsafe '{{ not a template }}'" in text
    read = read_inventory(environment.hosts)
    assert read is not None
    assert read["all"]["vars"]["service_deploy_services"]["web"]["env"]["BRACES"] == "{{ not a template }}"


def test_no_secret_in_it(environment: Environment, intent: Intent) -> None:
    from nexus_ops.secrets import ensure_secrets

    ensure_secrets(environment)
    refresh_inventory(environment, intent)
    text = environment.hosts.read_text()
    for name in ("dashboard_password", "stream_api_key", "ca.key"):
        assert (environment.secrets / name).read_text().strip().splitlines()[-1] not in text


def test_stale_until_refreshed(environment: Environment, intent: Intent) -> None:
    assert is_stale(environment, intent)
    refresh_inventory(environment, intent)
    assert not is_stale(environment, intent)
    changed = write_intent(environment, environment.intent.read_text().replace("8080", "8081"))
    assert is_stale(environment, changed)


def test_removed_worker_is_kept_until_it_is_cleaned(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    text, services = remove_node(environment.intent.read_text(), "w2")
    assert services == []
    smaller = write_intent(environment, text)
    inventory = refresh_inventory(environment, smaller)["all"]
    assert inventory["children"]["retired_worker"]["hosts"] == {"w2": {}}
    assert inventory["hosts"]["w2"]["ansible_port"] == 2222
    assert list(inventory["vars"]["caddy_lb_services"]["web"]["upstreams"]) == ["w1"]
    assert not is_stale(environment, smaller), "it stays retired, and that is no reason to write again"
    cleaned = refresh_inventory(environment, smaller, cleaned=["w2"])
    assert retired_hosts(cleaned) == set()
    assert "w2" not in cleaned["all"]["hosts"]


def test_lost_role_and_renamed_node(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    text = environment.intent.read_text()
    text = text.replace("lb2: {address: 192.0.2.22, roles: [lb]}", "lb2: {address: 192.0.2.22, roles: [worker]}")
    inventory = refresh_inventory(environment, write_intent(environment, text.replace("  w1:", "  first:")))["all"]
    assert inventory["children"]["retired_lb"]["hosts"] == {"lb2": {}}
    assert inventory["children"]["retired_worker"]["hosts"] == {}, "the renamed node has the same address"


def test_portable_path() -> None:
    folder = Path("/srv/ops/inventories/prod")
    assert portable_path(Path("/srv/ops/inventories/prod/ssh_key"), folder) == "{{ inventory_dir }}/ssh_key"
    assert portable_path(Path("ssh_key"), folder) == "{{ inventory_dir }}/ssh_key"
    assert portable_path(Path("/srv/ops/apps/web"), folder) == "{{ inventory_dir }}/../../apps/web"
    assert portable_path(Path("/elsewhere/web"), folder) == "/elsewhere/web"
    assert portable_path(Path("~/.ssh/id_ed25519"), folder) == "~/.ssh/id_ed25519"


def test_it_is_what_ansible_reads(environment: Environment, intent: Intent) -> None:
    document = yaml.safe_load(render_inventory(build_inventory(intent, environment.folder)).replace("!unsafe ", ""))
    assert set(document["all"]) == {"vars", "hosts", "children"}


def retired_after(environment: Environment, *changes: tuple[str, str]) -> dict[str, list[str]]:
    text = environment.intent.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    children = refresh_inventory(environment, write_intent(environment, text))["all"]["children"]
    return {group: list(children[group]["hosts"]) for group in ("retired_worker", "retired_lb")}


def test_machines_are_known_by_their_address(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    swapped = retired_after(
        environment,
        ("lb2: {address: 192.0.2.22", "lb2: {address: 192.0.2.99"),
        ("w1: {address: 192.0.2.31", "w1: {address: 192.0.2.22"),
        ("lb2: {address: 192.0.2.99", "lb2: {address: 192.0.2.31"),
    )
    assert swapped == {"retired_worker": ["lb2"], "retired_lb": ["w1"]}


def test_a_machine_whose_name_went_to_another_one(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    moved = retired_after(environment, ("w1: {address: 192.0.2.31", "w1: {address: 192.0.2.41"))
    assert moved == {"retired_worker": ["w1-at-192.0.2.31"], "retired_lb": []}
    hosts = (read_inventory(environment.hosts) or {})["all"]["hosts"]
    assert hosts["w1-at-192.0.2.31"]["ansible_host"] == "192.0.2.31"
    assert hosts["w1"]["ansible_host"] == "192.0.2.41"


def test_a_machine_that_was_given_another_address_is_not_cleaned_up(environment: Environment, intent: Intent) -> None:
    """Its host key, pinned for both addresses, tells that it is the same one."""
    refresh_inventory(environment, intent)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNhbWU="
    environment.known_hosts.write_text(f"192.0.2.31 {key}\n192.0.2.41 {key}\n")
    moved = retired_after(environment, ("w1: {address: 192.0.2.31", "w1: {address: 192.0.2.41"))
    assert moved == {"retired_worker": [], "retired_lb": []}


def test_addresses_may_be_written_in_many_ways(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    retired_after(environment, ("192.0.2.31", "'2001:db8::1'"))
    text = environment.intent.read_text()
    environment.intent.write_text(text)
    assert "w1" not in retired_after(environment, ("'2001:db8::1'", "'2001:0DB8:0::1'"))["retired_worker"]


def test_nobody_reads_it_who_may_not_read_the_intent(environment: Environment, intent: Intent) -> None:
    refresh_inventory(environment, intent)
    assert environment.hosts.stat().st_mode & 0o777 == 0o644
    environment.intent.chmod(0o600)
    refresh_inventory(environment, intent)
    assert environment.hosts.stat().st_mode & 0o777 == 0o600
    environment.intent.chmod(0o644)
    refresh_inventory(environment, intent)
    assert environment.hosts.stat().st_mode & 0o777 == 0o600, "and it is never opened again"
