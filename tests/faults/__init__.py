"""Harnesses that look for faults, each a script to be run as `python -m tests.faults.NAME`."""
