"""The command line: a module for each command, and `bandsaw.explain`, which one of them prints."""
