"""What a rollout saw and when that counts, and whom the ports go on answering while a run is under way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible.module_utils.service_deploy import firewall
from ansible.module_utils.service_deploy.rollouts import Rollout, this_boot

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_was_seen_counts_within_one_run_and_boot() -> None:
    seen = Rollout(None, "an invocation", seen_by="r1", boot=this_boot())
    assert seen.is_comparable("r1")
    assert not seen.is_comparable("r2"), "another run: anybody may have restarted it since"
    assert not replace(seen, boot="another").is_comparable("r1"), "the node was booted since"
    assert not Rollout(None).is_comparable(""), "nothing was seen"


def test_former_load_balancers_are_known_by_the_rules_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "RULES", tmp_path / "services.nft")
    allowed = ["192.0.2.21", "2001:DB8::21"]
    assert firewall.former(allowed) == [], "no rules yet"
    before = [*allowed, "192.0.2.22", "192.0.2.100", "2001:db8::22"]
    firewall.RULES.write_text(firewall.rules_text([8080], before))
    assert firewall.former(before) == []
    assert firewall.former(allowed) == ["192.0.2.100", "192.0.2.22", "2001:db8::22"]
    kept = firewall.rules_text([8080], [*allowed, *firewall.former(allowed)])
    assert kept == firewall.RULES.read_text(), "nothing changes until the end of the run"
