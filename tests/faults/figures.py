"""What was done to the library, and what came of it."""

from __future__ import annotations

import collections

# What can be wrong, and what it is called in a table.
SORTS = {
    "wrong": "wrong results",
    "hang": "hangs",
    "untyped": "untyped errors",
    "left": "left behind",
}


class Fault(AssertionError):
    """A promise that was not kept. Any other `AssertionError` counts as a wrong result.

    Args:
        sort: One of `SORTS`.
        text: What happened.
    """

    def __init__(self, sort, text):
        super().__init__(sort, text)
        self.sort = sort

    def __str__(self):
        return self.args[1]


class Figures:
    """What a campaign counts.

    Attributes:
        calls: How many calls, reads or other operations were looked at.
        injected: How often each kind of fault was injected.
        faults: What was found: pairs of a sort and a text.
    """

    def __init__(self, calls=0, injected=(), faults=()):
        self.calls = calls
        self.injected = collections.Counter(injected)
        self.faults = list(faults)

    def inject(self, kind, number=1):
        """Counts injected faults; a kind that did not occur is not listed."""
        if number:
            self.injected[kind] += number

    def fault(self, sort, text):
        """Notes a fault without ending the round."""
        self.faults.append((sort, text))

    def add(self, other):
        """Adds the figures of another round, process or thread."""
        self.calls += other.calls
        self.injected.update(other.injected)
        self.faults += other.faults

    def found(self, sort):
        """Returns the number of faults of a sort."""
        return sum(each == sort for each, _ in self.faults)

    def plain(self):
        """Returns what the constructor takes, as plain data."""
        return {"calls": self.calls, "injected": dict(self.injected), "faults": self.faults}
