"""No service carries secrets of its environment to its workers."""

from pathlib import Path

import pytest

from nexus_ops.errors import IntentError
from nexus_ops.intent.load import parse_intent

TEXT = """\
cluster: production
ssh: {private_key_file: keys/id}
nodes: {w1: {address: 192.0.2.31, roles: [lb, worker]}}
services:
  web: {source: {path: FOLDER}, command: ./run, port: 8080}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("secrets/inner", "runs", ".cache", "keys", "apps/web"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "keys" / "id").touch()
    return tmp_path


@pytest.mark.parametrize("path", ["secrets", "apps/../secrets/inner", "runs", ".cache", "keys"])
def test_private_folders_are_no_source(folder: Path, path: str) -> None:
    with pytest.raises(IntentError, match="would carry") as caught:
        parse_intent(TEXT.replace("FOLDER", path).encode(), folder / "nexus.yml")
    assert [fault.line for fault in caught.value.faults] == [5]


def test_a_folder_of_its_own_is_fine(folder: Path) -> None:
    parse_intent(TEXT.replace("FOLDER", "apps/web").encode(), folder / "nexus.yml")
