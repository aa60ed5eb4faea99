"""Links on a path: followed where root alone can have put them, refused below a folder of somebody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible.module_utils.node_state import files
from ansible.module_utils.node_state.errors import StateError
from ansible.module_utils.node_state.paths import folder_of, open_folder
from ansible.module_utils.node_state.snapshot import Snapshot

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders away, which root alone can do")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of root with a file."""
    folder = tmp_path / "victim"
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("root's")
    return folder


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder of another account."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


def test_a_link_of_root_is_followed(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "moved").symlink_to("victim")
    assert Snapshot.of(tmp_path / "moved/file").content == b"root's"
    with folder_of(tmp_path / "moved/new") as spot:
        spot.write_text("new")
    assert (victim / "new").read_text() == "new"


def test_a_link_in_a_folder_of_somebody_else_is_refused(strangers: Path, victim: Path) -> None:
    (strangers / "link").symlink_to(victim)
    for path in (strangers / "link", strangers / "link/deeper"):
        with pytest.raises(StateError, match=r"link is a link that an account other than root can have made"):
            os.close(open_folder(path, make=True))
    entry = {"path": str(strangers / "link"), "owner": "nobody", "group": "nogroup", "mode": "0770"}
    with pytest.raises(StateError):
        files.plan_directory(entry)
    with pytest.raises(StateError):
        files.make_directory(entry)
    with pytest.raises(StateError):
        Snapshot(b"new").put(strangers / "link/file")
    with pytest.raises(StateError):
        Snapshot.of(strangers / "link/file")
    with pytest.raises(StateError):
        files.remove(strangers / "link/file")
    assert (victim / "file").read_text() == "root's"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o700
    assert victim.stat().st_uid == 0


def test_a_folder_that_all_may_write_counts_as_somebody_elses(tmp_path: Path, victim: Path) -> None:
    everybodys = tmp_path / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    (everybodys / "link").symlink_to(victim)
    with pytest.raises(StateError):
        os.close(open_folder(everybodys / "link"))


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(strangers: Path, victim: Path) -> None:
    (strangers / "file").symlink_to(victim / "file")
    assert Snapshot.of(strangers / "file").content is None
    Snapshot(b"new").put(strangers / "file")
    assert (strangers / "file").read_text() == "new"
    assert (victim / "file").read_text() == "root's"
    (strangers / "other").symlink_to(victim)
    files.remove(strangers / "other")
    assert (victim / "file").exists()


def test_something_that_is_no_file_is_not_read(strangers: Path) -> None:
    os.mkfifo(strangers / "pipe")
    with pytest.raises(OSError, match="it is no file") as refused:
        Snapshot.of(strangers / "pipe")
    assert refused.value.filename == str(strangers / "pipe")
    with pytest.raises(IsADirectoryError) as refused:
        Snapshot.of(strangers)
    assert refused.value.filename == str(strangers)


def test_missing_folders_are_made_and_links_in_circles_end(tmp_path: Path) -> None:
    os.close(open_folder(tmp_path / "a/b/c", make=True))
    assert (tmp_path / "a/b/c").is_dir()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StateError, match="too many links"):
        os.close(open_folder(tmp_path / "circle"))
    with pytest.raises(FileNotFoundError):
        os.close(open_folder(tmp_path / "none"))
