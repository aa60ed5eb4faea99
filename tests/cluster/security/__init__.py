"""Attacks on real hosts, as they were shown once: by accounts of services and of Netdata."""
