"""Makes the roles' Python importable below ansible.module_utils, as Ansible does."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

for name in ("node-doctor",):
    folder = str(Path(__file__).parents[3] / "roles" / name / "module_utils")
    if folder not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(folder)
