"""Whole clusters in every pair of the ways to have one: python -m tests.matrix --help."""
