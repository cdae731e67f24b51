"""A task that runs on the least busy of three machines, and on another one if that breaks down."""

import os

import bandsaw


@bandsaw.task(ssh={"remote": ["a", "b", "c"], "retries": 2})
def count(start, stop):
    """Counts the primes from `start` to below `stop`.

    Returns:
        How many there are, and the name of the machine that has counted them.
    """
    odd = range(max(start, 3) | 1, stop, 2)
    found = sum(all(number % d for d in range(3, int(number**0.5) + 1, 2)) for number in odd)
    return found + (start <= 2 < stop), os.environ["MACHINE"]
