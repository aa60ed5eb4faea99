"""Ansible action: the same for node_repository_key as for node_state."""

from __future__ import annotations

from ansible.plugins.loader import action_loader

ActionModule = action_loader.get("node_state", class_only=True)
