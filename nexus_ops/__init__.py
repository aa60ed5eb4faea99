"""Nexus Ops: high availability and monitoring for plain Linux machines."""

__version__ = "0.1.0"
