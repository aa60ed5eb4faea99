"""Files land all together or not at all, and diffs show no secret."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.node_state import State, StateError
from ansible.module_utils.node_state.errors import words_of
from ansible.module_utils.node_state.record import HIDDEN
from ansible.module_utils.node_state.snapshot import Snapshot

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


def entry(path: Path, content: str, **options: Any) -> dict[str, Any]:
    return {"path": str(path), "content": content, "owner": USER, "group": GROUP, **options}


def state(*, check_mode: bool = False, **secrets: str) -> Any:
    return State("test", check_mode=check_mode, secrets=secrets)


def test_a_file_is_written_once(tmp_path: Path) -> None:
    first, second = state(), state()
    first.files([entry(tmp_path / "a", "1\n", mode="0600")])
    second.files([entry(tmp_path / "a", "1\n", mode="0600")])
    assert (tmp_path / "a").read_text() == "1\n"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert first.result()["changed"]
    assert not second.result()["changed"]


def test_check_mode_changes_nothing_and_shows_the_same(tmp_path: Path) -> None:
    checked = state(check_mode=True)
    checked.files([entry(tmp_path / "a", "1\n")])
    assert list(tmp_path.iterdir()) == []
    done = state()
    done.files([entry(tmp_path / "a", "1\n")])
    assert checked.result() == done.result()


def test_a_refused_file_takes_back_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    with pytest.raises(StateError, match=r"c was refused and left as it was; .*: no good"):
        state().files(
            [
                entry(tmp_path / "a", "new\n"),
                entry(tmp_path / "b", "new\n"),
                entry(tmp_path / "c", "new\n", validate="sh -c 'echo no good >&2; exit 1' %s"),
            ]
        )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old\n"}


def test_a_validator_sees_the_new_content(tmp_path: Path) -> None:
    state().files([entry(tmp_path / "a", "new\n", validate="grep -q new %s")])
    assert (tmp_path / "a").read_text() == "new\n"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    with pytest.raises(StateError, match=r"cannot write .*missing/b: No such file or directory"):
        state().files([entry(tmp_path / "a", "new\n"), entry(tmp_path / "missing/b", "new\n")])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old\n"}


def test_a_link_replaces_another(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("1")
    changing = state()
    changing.files([{"path": str(tmp_path / "current"), "link": "2"}])
    assert str((tmp_path / "current").readlink()) == "2"
    assert changing.result()["diff"] == [
        {
            "before_header": str(tmp_path / "current"),
            "after_header": str(tmp_path / "current"),
            "before": "link to 1\n",
            "after": "link to 2\n",
        }
    ]


def test_secrets_are_written_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("user=x\nkey=earlier\n")
    changing = state(KEY="later")
    changing.files([entry(tmp_path / "a", "user=x\nkey=@@KEY@@\n")])
    assert (tmp_path / "a").read_text() == "user=x\nkey=later\n"
    assert changing.result()["diff"][0]["before"] == f"user=x\n{HIDDEN}\n"
    assert changing.result()["diff"][0]["after"] == "user=x\nkey=@@KEY@@\n"


def test_what_only_root_may_read_is_not_shown_either(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("key=earlier\n")
    (tmp_path / "a").chmod(0o600)
    changing = state()
    changing.files([entry(tmp_path / "a", "")])
    assert changing.result()["diff"][0]["before"] == f"{HIDDEN}\n"


def test_a_secret_that_was_not_given_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="refers to a secret KEY that was not given"):
        state().files([entry(tmp_path / "a", "@@KEY@@")])


@pytest.mark.parametrize("path", ["/", "/etc", "relative/path", "/etc/../etc/passwd"])
def test_paths_that_cannot_be_ours_are_not_removed(path: str) -> None:
    from ansible.module_utils.node_state import files

    with pytest.raises(StateError, match="refusing to remove"):
        files.remove(Path(path))


@pytest.mark.usefixtures("no_room")
def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"web\.json"):
        Snapshot(b"x" * 100).put(tmp_path / "web.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/etc/x"), "/etc/x: No space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file of this node: No space left on device"),
        (TimeoutError("timed out"), "a file of this node: timed out"),
    ],
)
def test_what_the_system_refused_in_words(error: OSError, words: str) -> None:
    assert words_of(error) == words


def test_what_matches_a_pattern_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("1f.netdata", "2e.netdata", "1f"):
        (tmp_path / name).mkdir()
    gone = state()
    gone.absent([str(tmp_path / "*.netdata")])
    assert [path.name for path in tmp_path.iterdir()] == ["1f"]
    assert len(gone.result()["steps"]) == 2
    again = state()
    again.absent([str(tmp_path / "*.netdata")])
    assert not again.result()["changed"]
