"""What a deploy or a rollback is to run: which release, on how many workers at once; and wrong inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_ops.durations import seconds_of
from nexus_ops.environment import Environment
from nexus_ops.errors import UnreachableError, UsageError
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent
from nexus_ops.rollout import deploy_variables, earlier_release, find_service
from tests.unit.conftest import INTENT, Called


def entry(release: str, verdict: str, time: float) -> dict[str, Any]:
    return {"release": release, "verdict": verdict, "time": time, "by": "ops@desk", "reason": ""}


def report(current: str, *history: dict[str, Any], gone: tuple[str, ...] = ()) -> dict[str, Any]:
    releases = [release for release in dict.fromkeys(one["release"] for one in history) if release not in gone]
    return {"release": current, "releases": releases, "history": list(history)}


GOOD = (entry("aaa1", "good", 1), entry("bbb2", "good", 2), entry("ccc3", "good", 3))


def test_the_last_good_release_is_the_one_before(intent: Intent) -> None:
    web = find_service(intent, "web")
    assert earlier_release(web, {"w1": report("ccc3", *GOOD), "w2": report("ccc3", *GOOD)}, None) == "bbb2"


@pytest.mark.parametrize("verdict", ["abandoned", "rolled back"])
def test_bad_releases_are_passed_over_on_all_workers(intent: Intent, verdict: str) -> None:
    reports = {"w1": report("ccc3", *GOOD, entry("bbb2", verdict, 4)), "w2": report("ccc3", *GOOD)}
    assert earlier_release(find_service(intent, "web"), reports, None) == "aaa1"
    assert earlier_release(find_service(intent, "web"), reports, "bb") == "bbb2", "unless asked for"


def test_a_release_that_is_not_there_any_more_is_passed_over(intent: Intent) -> None:
    reports = {"w1": report("ccc3", *GOOD, gone=("bbb2",))}
    assert earlier_release(find_service(intent, "web"), reports, None) == "aaa1"


def test_no_earlier_release(intent: Intent) -> None:
    web = find_service(intent, "web")
    with pytest.raises(UsageError, match="no earlier good release"):
        earlier_release(web, {"w1": report("aaa1", entry("aaa1", "good", 1))}, None)
    with pytest.raises(UsageError, match="runs release ccc3 already"):
        earlier_release(web, {"w1": report("ccc3", *GOOD)}, "ccc3")
    with pytest.raises(UsageError, match="no release of web called 'zzz'"):
        earlier_release(web, {"w1": report("ccc3", *GOOD)}, "zzz")
    with pytest.raises(UnreachableError):
        earlier_release(web, {}, None)


def test_at_least_one_worker_goes_on_serving(intent: Intent) -> None:
    web = find_service(intent, "web")
    assert deploy_variables(web, batch=1, observe=0)["service_deploy_batch"] == "1"
    with pytest.raises(UsageError, match="at least one has to go on serving"):
        deploy_variables(web, batch=2, observe=0)


def test_a_service_that_is_not_there(intent: Intent) -> None:
    with pytest.raises(UsageError, match="no service 'wbe'") as error:
        find_service(intent, "wbe")
    assert error.value.next_step == "did you mean 'web'?"


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("90s", 90), ("1.5m", 90), ("1h", 3600)])
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text, "--observe") == seconds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy", "wbe"), "did you mean 'web'?"),
        (("deploy", "web", "--observe", "soon"), "--observe 'soon' is no duration"),
        (("deploy", "web", "--batch", "2"), "at least one has to go on serving"),
        (("deploy", "web", "--nodes", "w9"), "w9"),
        (("deploy", "web", "--nodes", "w1", "--replicas", "1"), "do not go together"),
        (("deploy", "web", "--ref", "main"), "web has none"),
        (("deploy", "web", "--limit", "w1"), "choose the workers of web with --nodes"),
        (("deploy", "web"), "there is no terminal to ask on"),
        (("rollback", "wbe"), "did you mean 'web'?"),
        (("rollback", "web", "--observe", "-1s"), "is no duration"),
        (("status", "--watch", "--json"), "do not go together"),
    ],
)
def test_wrong_inputs_are_one_line_and_touch_nothing(
    environment: Environment, call: Callable[..., Called], arguments: tuple[str, ...], words: str
) -> None:
    write_intent(environment, INTENT)
    before = environment.intent.read_bytes()
    called = call("--env", "test", *arguments)
    assert called.code == 2, called
    assert words in called.err
    assert len(called.err.strip().splitlines()) == 1
    assert environment.intent.read_bytes() == before
