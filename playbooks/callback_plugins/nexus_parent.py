"""Ansible callback: a run ends with the nexus-ops that began it, however that ends.

Without it, a killed nexus-ops would leave an ansible-playbook behind that goes on while others have the lock, and waits
for ever as soon as it has something to say.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: nexus_parent
type: aggregate
short_description: Ends a run with the nexus-ops that began it
description:
  - Does something only when C(NEXUS_OPS_PARENT) in the environment is the process id of nexus-ops.
"""

INTERVAL = 0.5  # seconds


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Looks whether the parent is there, in a thread of its own."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "nexus_parent"

    def v2_playbook_on_start(self, playbook: Any) -> None:  # noqa: ARG002  Ansible's signature
        """Begin to look."""
        parent = os.environ.get("NEXUS_OPS_PARENT")
        if parent:
            threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    for worker in multiprocessing.active_children():
        worker.kill()  # it would wait for ever to be listened to
    os._exit(1)
