"""Edits of nexus.yml: text in, text out, and every line that is not about the edit stays as the person wrote it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nexus_ops.errors import IntentError, UsageError
from nexus_ops.intent.document import parse_document

_FILE = Path("nexus.yml")  # for messages


def add_node(text: str, name: str, address: str, roles: Sequence[str], ssh: Mapping[str, str | int]) -> str:
    """Return `text` with the node `name` added behind the others.

    Raises UsageError when it is there already, or when the edit would change anything else; IntentError for no YAML.
    """
    before = parse_document(text.encode(), _FILE).value
    overrides = f", ssh: {{{', '.join(f'{key}: {scalar(value)}' for key, value in ssh.items())}}}" if ssh else ""
    entry = f"{name}: {{address: {scalar(address)}, roles: [{', '.join(roles)}]{overrides}}}"
    added = _with_entry(text, name, entry)
    wanted = copy.deepcopy(before)
    if isinstance(wanted, dict):
        body = {"address": address, "roles": list(roles), **({"ssh": dict(ssh)} if ssh else {})}
        wanted["nodes"] = {**(wanted.get("nodes") or {}), name: body}
    require(added, wanted, f"write under nodes: {entry}")
    return added


def _with_entry(text: str, name: str, entry: str) -> str:
    nodes = get(yaml.compose(text, yaml.SafeLoader), "nodes")
    newline = "\r\n" if "\r\n" in text else "\n"
    if not isinstance(nodes, yaml.MappingNode) or not nodes.value:
        if nodes is not None:
            raise UsageError("nodes: in nexus.yml is empty", next_step=f"write under it: {entry}")
        return f"{text.rstrip()}{newline}{newline}nodes:{newline}  {entry}{newline}"
    if any(key.value == name for key, _ in nodes.value):
        raise UsageError(f"there is a node {name!r} already", next_step="choose another name, or edit nexus.yml")
    if nodes.flow_style:
        end = nodes.value[-1][1].end_mark.index
        return f"{text[:end]}, {entry}{text[end:]}"
    lines = text.splitlines(keepends=True)
    last = _last_line(nodes.value[-1][1])
    if not lines[last].endswith("\n"):
        lines[last] += newline
    lines.insert(last + 1, f"{' ' * nodes.value[0][0].start_mark.column}{entry}{newline}")
    return "".join(lines)


def remove_node(text: str, name: str) -> tuple[str, list[str]]:
    """Return `text` without the node `name`, and the services whose lists of nodes named it.

    Raises UsageError when there is no such node, when it is the only one of a list, or when the edit would change
    anything else; IntentError for no YAML.
    """
    wanted = copy.deepcopy(parse_document(text.encode(), _FILE).value)
    document = yaml.compose(text, yaml.SafeLoader)
    nodes = get(document, "nodes")
    names = [key.value for key, _ in nodes.value] if isinstance(nodes, yaml.MappingNode) else []
    if not isinstance(nodes, yaml.MappingNode) or name not in names:
        raise UsageError(f"no node {name!r} (there are: {', '.join(names)})", next_step="correct the name")
    # A set: services that share a list by an alias share its cut as well.
    cuts = {cut(text, nodes, nodes.value, names.index(name))}
    services = get(document, "services")
    for _, body in services.value if isinstance(services, yaml.MappingNode) else []:
        listed = get(body, "nodes")
        if isinstance(listed, yaml.SequenceNode):
            found = [item.value for item in listed.value]
            if name in found:
                cuts.add(cut(text, listed, [(item, item) for item in listed.value], found.index(name)))
    touched = _without(wanted, name)
    for begin, end in sorted(cuts, reverse=True):
        text = text[:begin] + text[end:]
    require(text, wanted, f"take {name} out by hand")
    return text, touched


def set_monitoring(text: str, *, enabled: bool) -> str:
    """Return `text` with `monitoring.enabled` as it is to be, unchanged where it means that already.

    Raises UsageError when the edit would change anything else; IntentError for no YAML.
    """
    wanted = copy.deepcopy(parse_document(text.encode(), _FILE).value)
    section = (wanted.get("monitoring") if isinstance(wanted, dict) else None) or {}
    if (bool(section) and section.get("enabled", True)) == enabled:
        return text
    word = "true" if enabled else "false"
    edited = _with_monitoring(text, f"enabled: {word}", word)
    wanted["monitoring"] = {**section, "enabled": enabled}
    require(edited, wanted, f"write under monitoring: enabled: {word}")
    return edited


def _with_monitoring(text: str, entry: str, word: str) -> str:
    """Return `text` with `entry`, `enabled: WORD`, in its section monitoring: changed, added, or section and all."""
    document = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(document, yaml.MappingNode) or not document.value:
        raise UsageError("nexus.yml says nothing", next_step="make one: nexus-ops init")
    keys = {key.value: key for key, _ in document.value}
    section = get(document, "monitoring")
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = " " * document.value[0][0].start_mark.column
    if section is None and document.flow_style:
        return spliced(text, document.value[-1][1].end_mark.index, f", monitoring: {{{entry}}}")
    if section is None:
        return f"{text.rstrip()}{newline}{newline}{indent}monitoring:{newline}{indent}  {entry}{newline}"
    begin, end = section.start_mark.index, section.end_mark.index
    known = get(section, "enabled")
    if known is not None:
        return spliced(text, known.start_mark.index, word, known.end_mark.index)
    inner = f"{indent}  "
    if isinstance(section, yaml.MappingNode) and section.value:
        first = section.value[0][0].start_mark
        if section.flow_style:
            return spliced(text, first.index, f"{entry}, ")
        inner = " " * first.column
    elif begin < end:  # {} or null, as it is written
        return spliced(text, begin, f"{{{entry}}}", end)
    colon = text.index(":", keys["monitoring"].end_mark.index) + 1
    if document.flow_style:
        return spliced(text, colon, f" {{{entry}}}")
    line = text.find("\n", colon)
    rest = text[colon:] if line < 0 else text[colon : line + 1]
    return f"{text[:colon]}{rest.rstrip()}{newline}{inner}{entry}{newline}{text[colon + len(rest) :]}"


def spliced(text: str, begin: int, new: str, end: int | None = None) -> str:
    """Return `text` with `new` in place of what stands from `begin` to `end`, by default nothing."""
    return f"{text[:begin]}{new}{text[begin if end is None else end :]}"


def scalar(value: str | int) -> str:
    """Return how `value` is written inside braces: in quotes where YAML would read something else."""
    text = str(value)
    if isinstance(value, int):
        return text
    try:
        is_plain = ":" not in text and yaml.safe_load(f"[{text}]") == [text]
    except (yaml.YAMLError, ValueError):
        is_plain = False
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _without(value: Any, name: str) -> list[str]:
    """Take the node `name` out of the plain document `value`; return the services whose lists of nodes named it."""
    value["nodes"].pop(name, None)
    touched = []
    services = value.get("services")
    for service, body in services.items() if isinstance(services, dict) else []:
        listed = body.get("nodes") if isinstance(body, dict) else None
        if isinstance(listed, list) and name in listed:
            body["nodes"] = [one for one in listed if one != name]
            touched.append(str(service))
            if not body["nodes"]:
                raise UsageError(f"{name} is the only node of service {service}", next_step="give it another one first")
    if not value["nodes"]:
        raise UsageError(f"{name} is the only node of the cluster", next_step="add another one first")
    return touched


def require(text: str, wanted: Any, remedy: str) -> None:
    """Raise UsageError unless `text` says exactly `wanted`: an edit must never change what it is not about."""
    try:
        is_clean = parse_document(text.encode(), _FILE).value == wanted
    except IntentError:
        is_clean = False
    if not is_clean:
        raise UsageError(
            "nexus.yml is written in a way that this edit would damage (anchors, for example); nothing was changed",
            next_step=f"edit it by hand: {remedy}",
        )


def get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of the key `name`, None where `node` is no mapping or has no such key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value  # type: ignore[no-any-return]
    return None


def cut(
    text: str, container: yaml.CollectionNode, entries: Sequence[tuple[yaml.Node, yaml.Node]], index: int
) -> tuple[int, int]:
    """Return where the entry at `index` begins and ends in `text`: its lines, or in flow style itself and a comma."""
    first, last = entries[index]
    if container.flow_style:
        if index + 1 < len(entries):
            return first.start_mark.index, entries[index + 1][0].start_mark.index
        begin = entries[index - 1][1].end_mark.index if index else first.start_mark.index
        return begin, last.end_mark.index
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts[first.start_mark.line], starts[_last_line(last) + 1]


def _last_line(node: yaml.Node) -> int:
    """Return the last line (from 0) that `node` is written on: a block's own end is where the next thing begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1])
    line: int = node.end_mark.line
    return line - 1 if node.end_mark.column == 0 and line > node.start_mark.line else line
