"""The files of a cache: entries, the locks on them, their bounds, and what they remember."""
