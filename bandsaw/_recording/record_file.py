"""The file of a recorder: its tables, and how it is opened."""

from __future__ import annotations

import os
from typing import Any

# A run on another machine, of which nothing was heard for so long, counts as lost.
SECONDS_UNTIL_LOST = 30.0
_SECONDS_FOR_LOCK = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, begun REAL, ended REAL, seen REAL, command TEXT, folder TEXT,
    host TEXT, pid INTEGER, python TEXT);
CREATE TABLE IF NOT EXISTS calls (
    run TEXT, key TEXT, task TEXT, chain TEXT, parent TEXT, task_id TEXT, execution_id TEXT,
    arguments TEXT, submitted REAL, ready REAL, begun REAL, ended REAL, host TEXT, pid INTEGER,
    place TEXT, cache TEXT, attempts INTEGER, sent INTEGER, received INTEGER, cpu REAL,
    memory INTEGER, error TEXT, traceback TEXT, needs TEXT, facts TEXT,
    PRIMARY KEY (run, key));
CREATE INDEX IF NOT EXISTS calls_of_task ON calls (run, task);
CREATE TABLE IF NOT EXISTS interrupted (run TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS progress (
    run TEXT, pid INTEGER, task TEXT, since REAL, submitted INTEGER, begun INTEGER,
    running INTEGER, done INTEGER, cached INTEGER, failed INTEGER, PRIMARY KEY (run, pid, task));
"""
NONCE = "nonce "  # a parent that is known by the nonce of its session
CALL = (
    "run", "key", "task", "chain", "parent", "task_id", "execution_id", "arguments", "submitted",
    "ready", "begun", "ended", "host", "pid", "place", "cache", "attempts", "sent", "received",
    "cpu", "memory", "error", "traceback", "needs", "facts",
)  # fmt: skip


def opened(path: str) -> Any:
    """Opens a file for writing, and makes what is missing in it."""
    import sqlite3

    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    # For its owner only: arguments and tracebacks are in it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=_SECONDS_FOR_LOCK, check_same_thread=False)
    try:
        # Readers are not kept waiting; what was committed survives the death of the program.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection
