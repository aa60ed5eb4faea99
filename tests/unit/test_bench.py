"""The benchmark's own parts: what peers are told is what was read, and a limit that is missed is said to be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.bench.__main__ import table
from tests.bench.measures import Row, compared, take_turns
from tests.bench.peers import write_files, write_playbook
from tests.bench.resources import Resources
from tests.bench.timing import Sample, timed

if TYPE_CHECKING:
    from pathlib import Path


def resources(content: bytes, **more: Any) -> Resources:
    entry = {"path": "/etc/a.conf", "owner": "root", "group": "root", "mode": "0644", "content": content}
    return Resources(packages=["nftables"], files=[entry], **more)


def test_nodes_with_the_same_resources_share_a_play_and_others_do_not(tmp_path: Path) -> None:
    purposes = {"web": {"w1": resources(b"one"), "w2": resources(b"two"), "w3": resources(b"one", absent=["/etc/b"])}}
    write_files(purposes, tmp_path)
    plays = yaml.safe_load(write_playbook(purposes, tmp_path).read_text())
    assert [play["hosts"] for play in plays] == ["w1,w2", "w3"]
    modules = [module for play in plays for task in play["tasks"] for module in task if module != "name"]
    assert [module.rpartition(".")[2] for module in modules] == ["apt", "template", "apt", "template", "file"]
    sources = plays[0]["vars"]["sources"]
    assert sources["w1"] != sources["w2"]
    assert (tmp_path / "files" / sources["w2"]["/etc/a.conf"]).read_bytes() == b"two"


def test_each_contender_runs_once_a_round_and_not_always_in_the_same_order() -> None:
    order: list[str] = []

    def contender(name: str) -> Sample:
        order.append(name)
        return Sample(1, 1, 1)

    runs = take_turns(2, {"a": lambda: contender("a"), "b": lambda: contender("b")})
    assert order == ["a", "b", "b", "a"]
    assert {name: len(samples) for name, samples in runs.items()} == {"a": 2, "b": 2}


def test_a_missed_limit_is_shown() -> None:
    runs = {"ours": [Sample(3, 1, 1), Sample(9, 1, 1), Sample(4, 1, 1)], "theirs": [Sample(2, 1, 1)]}
    rows = [compared("apply", runs, "ours", "theirs", 1.5), Row("deploy", 2.0, limit=3.0), Row("status", 1.0)]
    assert [row.kept for row in rows] == [False, True, None]
    assert rows[0].ratio == 2.0
    lines = table(rows).splitlines()
    assert "**missed**" in lines[2]
    assert "kept" in lines[3]


def test_a_command_is_timed_and_must_succeed(tmp_path: Path) -> None:
    sample = timed(["sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done"], cwd=tmp_path)
    assert 0 < sample.own <= sample.wall + 0.1
    assert json.dumps(sample.output) == '"done\\n"'
    with pytest.raises(RuntimeError, match="exit status 3"):
        timed(["sh", "-c", "exit 3"], cwd=tmp_path)
