"""The same cluster as containers that boot real systemd."""
