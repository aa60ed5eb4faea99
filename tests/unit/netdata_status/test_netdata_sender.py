"""What is read on a node: its settings, its connections, its last words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.module_utils.netdata_status import sender

STREAM = """\
# a comment
[stream]
    enabled = yes
    destination = 192.0.2.11:19999 192.0.2.12:19999 192.0.2.11 192.0.2.12:SSL
    api key = 11111111-2222-3333-4444-555555555555
    CAfile = /etc/netdata/ssl/ca.pem
    # timeout seconds = 10
[11111111-2222-3333-4444-555555555555]
    enabled = no
"""


def test_the_settings_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "stream.conf"
    assert sender.read_stream(path) == {}
    path.write_text(STREAM)
    assert sender.read_stream(path) == {
        "enabled": "yes",
        "destination": "192.0.2.11:19999 192.0.2.12:19999 192.0.2.11 192.0.2.12:SSL",
        "api key": "11111111-2222-3333-4444-555555555555",
        "CAfile": "/etc/netdata/ssl/ca.pem",
    }


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("192.0.2.11:19999 192.0.2.12:19999 192.0.2.11 192.0.2.12:SSL", ["192.0.2.11", "192.0.2.12"]),
        ("tcp:192.0.2.11:19999:SSL [2001:db8::1]:19999:SSL", ["192.0.2.11", "2001:db8::1"]),
        ("tcp:[2001:db8::1]:19999", ["2001:db8::1"]),
        ("", []),
    ],
)
def test_destinations(text: str, hosts: list[str]) -> None:
    assert sender.destinations(text) == hosts


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
    ],
)
def test_addresses_of_the_kernel(text: str, address: str) -> None:
    assert sender.kernel_address(text) == address


def test_files_that_changed_since_the_start(tmp_path: Path) -> None:
    stream = tmp_path / "stream.conf"
    stream.write_text("")
    os.utime(stream, (1000, 1000))
    assert not sender.changed_since(tmp_path, {}, 1000.0)
    assert sender.changed_since(tmp_path, {}, 900.0)
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    assert sender.changed_since(tmp_path, {"CAfile": str(authority)}, 1001.0)


def test_keys_are_masked_in_the_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "error.log"
    log.write_text(
        "2026-11-24 05:00:00: netdata INFO  : MAIN : all is well\n"
        "2026-11-24 05:00:01: netdata FATAL : MAIN : key '11111111-2222-3333-4444-555555555555' is odd\n"
    )
    monkeypatch.setattr(sender, "LOG", log)
    ended = "netdata.service: Main process exited, code=exited\n"
    monkeypatch.setattr(sender, "_run", lambda command: "" if "--namespace=netdata" in command else ended)
    assert sender.last_words() == "netdata FATAL : MAIN : key '[guid]' is odd"
    log.unlink()
    assert sender.last_words() == "netdata.service: Main process exited, code=exited"


def test_netdata_2_says_its_reason_in_a_journal_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = "netdata.service: Main process exited, code=exited, status=1/FAILURE\n"
    reason = "Required directory: '/var/cache/netdata' is not a directory\n"
    monkeypatch.setattr(sender, "LOG", tmp_path / "error.log")
    monkeypatch.setattr(sender, "_run", lambda command: reason if "--namespace=netdata" in command else ended)
    assert sender.last_words() == reason.strip()


def test_what_a_machine_without_netdata_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_run", lambda command: "")
    monkeypatch.setattr(sender, "GUID_FILE", tmp_path / "guid")
    found = sender.describe_sender(tmp_path)
    assert not found["installed"]
    assert not found["running"]
    assert not found["streams"]
    assert found["guid"] == ""


def test_nothing_secret_is_said(tmp_path: Path) -> None:
    (tmp_path / "stream.conf").write_text(STREAM)
    assert "11111111-2222" not in str(sender.describe_sender(tmp_path))
    assert "11111111-2222" not in str(sender.probe_parents({"mgr1": "127.0.0.1"}, {}, tmp_path))
