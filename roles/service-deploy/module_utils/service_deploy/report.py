"""What runs on this node, for whoever asks. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.node_state import units
from ansible.module_utils.node_state.answers import answer_of
from ansible.module_utils.service_deploy import history, records, releases
from ansible.module_utils.service_deploy.activation import reasons
from ansible.module_utils.service_deploy.health import Process
from ansible.module_utils.service_deploy.model import Place

if TYPE_CHECKING:
    from ansible.module_utils.service_deploy.model import Service
    from ansible.module_utils.service_deploy.node import Node

ENTRIES = 20


def describe(node: Node) -> dict[str, Any]:
    """Return by name what is to be said of each service that is wanted or known here."""
    wanted = {service.name: service for service in node.services}
    names = sorted({*wanted, *records.names_known(node.root)})
    known = units.show([Place(name, node.root).unit for name in names])
    found = {}
    for name in names:
        place = Place(name, node.root)
        found[name] = _describe(place, wanted.get(name), known.get(place.unit, units.Unit()))
    return found


def _describe(place: Place, service: Service | None, unit: units.Unit) -> dict[str, Any]:
    good = records.read_good(place)
    return {
        "wanted": service is not None,
        "release": good.release if good else "",
        "since": good.since if good else None,
        "by": good.by if good else "",
        "port": good.port if good else None,
        "problem": _problem(place, unit),
        "drift": reasons(service, unit) if service is not None else ["nexus.yml does not name it here"],
        "held": service.held if service is not None else "",
        "releases": releases.whole_ones(place),
        "history": history.read_history(place)[-ENTRIES:],
    }


def _problem(place: Place, unit: units.Unit) -> str:
    """Return why the service is not healthy, empty when it is."""
    good = records.read_good(place)
    if good is None:
        return "no release of it was ever healthy here"
    if not unit.active:
        return f"it is {unit.state}, its last exit status was {Process.of(place.unit).exit}"
    return answer_of("127.0.0.1", good.port, good.health_path, good.health_timeout)
