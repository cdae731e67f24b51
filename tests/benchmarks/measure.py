"""Ratios of durations, measured side by side."""

import statistics
import time


def durations(calls, *, rounds, number):
    """Measures calls in turn, so that what else the machine does hits all of them.

    Args:
        calls: Functions without parameters, by name.
        rounds: How often each one's turn comes.
        number: How often a function is called in its turn.

    Returns:
        The seconds that one call took in each round, by name.
    """
    measured = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(number):
                call()
            measured[name].append((time.perf_counter() - begun) / number)
    return measured


def table(title, calls, against, *, rounds=60, number=200, goals=()):
    """Measures calls and prints each one's ratio to another one.

    Args:
        title: What is measured.
        calls: Functions without parameters, by name.
        against: The names of those that the others are compared with.
        rounds: How often each one's turn comes.
        number: How often a function is called in its turn.
        goals: Triples of two names and the ratio that they are to keep, as a text.
    """
    measured = durations(calls, rounds=rounds, number=number)
    print(f"\n{title}")
    least = {name: min(times) for name, times in measured.items()}
    for name in calls:
        line = f"  {name:34} {_told(least[name]):>10}"
        for other in against:
            if other != name:
                ratio = least[name] / least[other]
                pairs = [a / b for a, b in zip(measured[name], measured[other])]
                median = statistics.median(pairs)
                line += f"   {ratio:6.2f} of {other} (median {median:.2f})"
        print(line)
    for one, other, goal in goals:
        print(f"  goal: {one} / {other} {goal}: {least[one] / least[other]:.2f}")


def _told(seconds):
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
