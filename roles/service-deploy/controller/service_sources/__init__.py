"""Where releases come from: a service's source, packed on the controller into one archive named by its content.

`pack(service, source, setup, cache)` is all that the action plugin service_source needs. Nothing here knows of Ansible.
"""

from __future__ import annotations

from service_sources.errors import SourceError
from service_sources.kinds import check, pack
from service_sources.release import Release, prune, recall

__all__ = ["Release", "SourceError", "check", "pack", "prune", "recall"]
