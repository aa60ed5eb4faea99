"""Edits of one service in nexus.yml that a deploy is asked for: on which workers it runs, and out of which ref."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nexus_ops.errors import UsageError
from nexus_ops.files import read_text, rewrite
from nexus_ops.intent.document import parse_document
from nexus_ops.intent.edit import cut, get, require, scalar, spliced
from nexus_ops.intent.write import write_intent

if TYPE_CHECKING:
    from nexus_ops.environment import Environment


def edit_service(
    environment: Environment, name: str, *, nodes: Sequence[str] | None, replicas: int | None, ref: str | None
) -> str | None:
    """Return the text of nexus.yml with the service changed, None where nothing was asked for or nothing differs.

    Raises UsageError for options that do not go together, and when the edit would change anything else.
    """
    if nodes is not None and replicas is not None:
        raise UsageError("--nodes and --replicas do not go together", next_step="leave one of them out")
    text = read_text(environment.intent)
    edited = text
    if nodes is not None:
        edited = _set(_drop(edited, name, "replicas"), (name, "nodes"), list(nodes))
    if replicas is not None:
        edited = _set(_drop(edited, name, "nodes"), (name, "replicas"), replicas)
    if ref is not None:
        source = parse_document(text.encode(), environment.intent).value["services"][name]["source"]
        if "git" not in source:
            raise UsageError(f"--ref is for a service whose source is git; {name} has none", next_step="leave it out")
        edited = _set(edited, (name, "source", "ref"), ref)
    return None if edited == text else edited


@contextlib.contextmanager
def edited_intent(environment: Environment, text: str | None) -> Iterator[Callable[[], None]]:
    """Have nexus.yml say `text` for the length of a `with` block, and from then on if what is yielded is called.

    With None nothing is written. Raises IntentError when the text is no valid intent.
    """
    kept: list[bool] = []
    before = read_text(environment.intent)
    if text is not None:
        write_intent(environment, text)
    try:
        yield lambda: kept.append(True)
    finally:
        if text is not None and not kept:
            rewrite(environment.intent, before)


def _drop(text: str, name: str, key: str) -> str:
    """Return `text` without a key of a service, unchanged where it has none."""
    body = _body(text, (name,))
    names = [entry.value for entry, _ in body.value]
    if key not in names:
        return text
    begin, end = cut(text, body, body.value, names.index(key))
    edited = spliced(text, begin, "", end)
    wanted = _plain(text)
    del wanted["services"][name][key]
    require(edited, wanted, f"take {key} of {name} out by hand")
    return edited


def _set(text: str, path: Sequence[str], value: str | int | list[str]) -> str:
    """Return `text` with services.PATH set to `value`."""
    *above, key = path
    body = _body(text, above)
    written = f"[{', '.join(map(scalar, value))}]" if isinstance(value, list) else scalar(value)
    known = get(body, key)
    if isinstance(known, yaml.CollectionNode) and not known.flow_style:
        names = [entry.value for entry, _ in body.value]
        begin, end = cut(text, body, body.value, names.index(key))
        indent = " " * body.value[0][0].start_mark.column
        edited = spliced(text, begin, f"{indent}{key}: {written}\n", end)
    elif known is not None:
        edited = spliced(text, known.start_mark.index, written, known.end_mark.index)
    else:
        first = body.value[0][0].start_mark
        separator = ", " if body.flow_style else f"\n{' ' * first.column}"
        edited = spliced(text, first.index, f"{key}: {written}{separator}")
    wanted = _plain(text)
    place: Any = wanted["services"]
    for step in above:
        place = place[step]
    place[key] = value
    require(edited, wanted, f"write {key}: {written} under services: {': '.join(above)}")
    return edited


def _body(text: str, path: Sequence[str]) -> yaml.MappingNode:
    node = get(yaml.compose(text, yaml.SafeLoader), "services")
    for step in path:
        node = get(node, step)
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            f"{' '.join(path)} is written in a way that cannot be edited", next_step="edit nexus.yml by hand"
        )
    return node


def _plain(text: str) -> dict[str, Any]:
    plain: Mapping[str, Any] = parse_document(text.encode(), Path("nexus.yml")).value
    return copy.deepcopy(dict(plain))
