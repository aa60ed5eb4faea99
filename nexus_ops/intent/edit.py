"""Edits of nexus.yml: text in, text out, and every line that is not about the edit stays as the person wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from nexus_ops.errors import UsageError


def add_node(text: str, name: str, address: str, roles: Sequence[str], ssh: Mapping[str, str | int]) -> str:
    """Return `text` with the node `name` added behind the others. Raises UsageError when it is there already."""
    document = yaml.compose(text, yaml.SafeLoader)
    nodes = _get(document, "nodes")
    overrides = f", ssh: {{{', '.join(f'{key}: {value}' for key, value in ssh.items())}}}" if ssh else ""
    shown = f'"{address}"' if ":" in address else address
    entry = f"{name}: {{address: {shown}, roles: [{', '.join(roles)}]{overrides}}}"
    if not isinstance(nodes, yaml.MappingNode) or not nodes.value:
        if nodes is not None:
            raise UsageError("nodes: in nexus.yml is empty", next_step=f"write under it: {entry}")
        return f"{text.rstrip()}\n\nnodes:\n  {entry}\n"
    if any(key.value == name for key, _ in nodes.value):
        raise UsageError(f"there is a node {name!r} already", next_step="choose another name, or edit nexus.yml")
    if nodes.flow_style:
        end = nodes.value[-1][1].end_mark.index
        return f"{text[:end]}, {entry}{text[end:]}"
    lines = text.splitlines(keepends=True)
    last = _last_line(nodes.value[-1][1])
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    lines.insert(last + 1, f"{' ' * nodes.value[0][0].start_mark.column}{entry}\n")
    return "".join(lines)


def remove_node(text: str, name: str) -> tuple[str, list[str]]:
    """Return `text` without the node `name`, and the services whose lists of nodes named it.

    Raises UsageError when there is no such node.
    """
    document = yaml.compose(text, yaml.SafeLoader)
    nodes = _get(document, "nodes")
    names = [key.value for key, _ in nodes.value] if isinstance(nodes, yaml.MappingNode) else []
    if not isinstance(nodes, yaml.MappingNode) or name not in names:
        raise UsageError(f"no node {name!r} (there are: {', '.join(names)})", next_step="correct the name")
    cuts = [_cut(text, nodes, nodes.value, names.index(name))]
    touched = []
    services = _get(document, "services")
    for key, body in services.value if isinstance(services, yaml.MappingNode) else []:
        listed = _get(body, "nodes")
        if isinstance(listed, yaml.SequenceNode):
            found = [item.value for item in listed.value]
            if name in found:
                cuts.append(_cut(text, listed, [(item, item) for item in listed.value], found.index(name)))
                touched.append(str(key.value))
    for begin, end in sorted(cuts, reverse=True):
        text = text[:begin] + text[end:]
    return text, touched


def _get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value  # type: ignore[no-any-return]
    return None


def _cut(
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
