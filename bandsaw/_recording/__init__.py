"""The file of a recorder: where it lies, how it is written, and how it is read.

Recorder ─ call ─► queue ─► one thread of the process ─► SQLite ─► `bandsaw runs`
"""
