"""Makes the role's Python importable: module_utils below ansible.module_utils, as Ansible does, and the packer."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROLES = Path(__file__).parents[3] / "roles"
CONTROLLER = str(ROLES / "service-deploy/controller")

for name in ("node-state", "service-deploy"):
    folder = str(ROLES / name / "module_utils")
    if folder not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(folder)
if CONTROLLER not in sys.path:
    sys.path.append(CONTROLLER)
