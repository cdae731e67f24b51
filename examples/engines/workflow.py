"""How far random walks get: one workflow for a pool of processes, Dask, Ray and Slurm.

python workflow.py
ENGINE=dask python workflow.py
"""

import math
import random

import bandsaw

WALKS, STEPS = 32, 2000


# Options have the engine's own names. Those of other engines are not looked at.
@bandsaw.task(timeout=60, executor={"ray": {"num_cpus": 1}, "slurm": {"cpus_per_task": 1}})
def walk(seed):
    """Walks at random on a plane, and returns how far away that ends."""
    turns = random.Random(seed)
    x = y = 0.0
    for _ in range(STEPS):
        angle = turns.uniform(0, math.tau)
        x, y = x + math.cos(angle), y + math.sin(angle)
    return math.hypot(x, y)


@bandsaw.task
def mean_square(distances):
    """Returns the mean of the squares of distances."""
    return sum(distance**2 for distance in distances) / len(distances)


if __name__ == "__main__":
    # A walk that has ended far away is said so at once, while others go on.
    for seed, distance in enumerate(walk.map(range(WALKS))):
        if distance > 1.5 * math.sqrt(STEPS):
            print(f"walk {seed} got {distance:.0f} steps far")
    # Futures as arguments: the call begins when all of them are there.
    found = mean_square.submit([walk.submit(seed) for seed in range(WALKS)]).result()
    expected = math.sqrt(STEPS)
    print(f"{WALKS} walks of {STEPS} steps: {math.sqrt(found):.2f}, expected {expected:.2f}")
