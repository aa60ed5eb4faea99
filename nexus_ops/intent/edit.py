"""Edits of nexus.yml that keep the person's comments: text in, text out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from nexus_ops.errors import UsageError


def add_node(text: str, name: str, address: str, roles: Sequence[str], ssh: dict[str, Any]) -> str:
    """Return `text` with the node `name` added. Raises UsageError when it is there already."""
    yaml, document = _load(text)
    nodes = document.get("nodes")
    if not nodes:
        document["nodes"] = nodes = _mapping()
    if name in nodes:
        raise UsageError(f"there is a node {name!r} already", next_step="choose another name, or edit nexus.yml")
    entry = _mapping(address=address, roles=_flow(list(roles)))
    if ssh:
        entry["ssh"] = _mapping(**ssh)
        entry["ssh"].fa.set_flow_style()
    entry.fa.set_flow_style()
    _append(nodes, name, entry)
    return _dump(yaml, document)


def remove_node(text: str, name: str) -> tuple[str, list[str]]:
    """Return `text` without the node `name`, and the services whose lists of nodes named it.

    Raises UsageError when there is no such node.
    """
    yaml, document = _load(text)
    nodes = document.get("nodes") or {}
    if name not in nodes:
        raise UsageError(f"no node {name!r} (there are: {', '.join(nodes)})", next_step="correct the name")
    _pop_keeping_comment(nodes, name)
    touched = []
    for service, body in (document.get("services") or {}).items():
        listed = body.get("nodes") if isinstance(body, dict) else None
        if isinstance(listed, list) and name in listed:
            listed.remove(name)
            touched.append(str(service))
    return _dump(yaml, document), touched


def _load(text: str) -> tuple[Any, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    _, indent, offset = load_yaml_guess_indent(text)
    yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    yaml.map_indent = _guess_mapping_indent(text)
    return yaml, yaml.load(text)


def _guess_mapping_indent(text: str) -> int:
    """Return how far the first nested key is indented, 2 where nothing is nested."""
    for line in text.splitlines():
        stripped = line.lstrip(" ")
        if stripped and stripped != line and not stripped.startswith(("#", "-")):
            return len(line) - len(stripped)
    return 2


def _dump(yaml: Any, document: Any) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _mapping(**items: Any) -> Any:
    from ruamel.yaml.comments import CommentedMap

    return CommentedMap(items)


def _flow(items: list[str]) -> Any:
    from ruamel.yaml.comments import CommentedSeq

    sequence = CommentedSeq(items)
    sequence.fa.set_flow_style()
    return sequence


def _append(mapping: Any, key: str, value: Any) -> None:
    """Add a last entry: the blank lines and comments behind the entry that was last stay behind the new one."""
    last = next(reversed(mapping), None)
    trailing = mapping.ca.items.pop(last, None) if last is not None else None
    mapping[key] = value
    if trailing is not None:
        mapping.ca.items[key] = trailing


def _pop_keeping_comment(mapping: Any, key: str) -> None:
    """Remove an entry with the comment on its own line; the lines of comment that follow it stay.

    ruamel hangs all of that on the entry, as one token that begins on the entry's line.
    """
    from ruamel.yaml.error import CommentMark
    from ruamel.yaml.tokens import CommentToken

    keys = list(mapping)
    index = keys.index(key)
    trailing = mapping.ca.items.pop(key, None)
    del mapping[key]
    following = trailing[2].value.partition("\n")[2] if trailing and trailing[2] else ""
    if not following.strip() and (not following or index + 1 < len(keys)):
        return
    if index == 0:
        if len(keys) > 1:
            lines = [line.strip().removeprefix("#").removeprefix(" ") for line in following.splitlines()]
            mapping.yaml_set_comment_before_after_key(keys[1], before="\n".join(lines), indent=mapping.lc.col)
        return
    before = mapping.ca.items.setdefault(keys[index - 1], [None, None, None, None])
    if before[2] is None:
        before[2] = CommentToken("\n", CommentMark(0), None)
    before[2].value = before[2].value.rstrip("\n") + "\n" + following
