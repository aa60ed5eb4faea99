"""Tests of the monitoring: one cluster for all of them, in the order that conftest.py gives them."""
