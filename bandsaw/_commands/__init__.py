"""The command line: `__main__` finds the command here, and `console` runs it and prints.

check, cache, archive, env   a module for each
explain                      `bandsaw.explain`, which `cache explain` prints
"""
