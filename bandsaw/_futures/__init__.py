"""Submitted calls: what they wait for, and how many of them run at once."""
