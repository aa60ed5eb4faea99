"""Makes the role's Python importable below ansible.module_utils, as Ansible does."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

FOLDER = str(Path(__file__).parents[3] / "roles/netdata-node/module_utils")

if FOLDER not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(FOLDER)
