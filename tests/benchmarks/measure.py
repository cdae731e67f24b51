"""Measures calls side by side, and keeps what was measured in the format of pyperf."""

import concurrent.futures
import contextlib
import ctypes
import datetime
import gc
import importlib.metadata
import os
import platform
import statistics
import time

import pyperf

SEPARATOR = " | "
# What is measured without being timed has this unit of pyperf's.
BYTE = "byte"
_TURN = 0.005
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 60
_PACKAGES = (
    *("numpy", "blake3", "xxhash", "joblib", "diskcache", "loky", "distributed", "execnet"),
    "pyperf",
)


class Bench:
    """What was measured so far, and how long the rest may take.

    Args:
        seconds: How long a comparison is measured, at least for a few rounds.

    Attributes:
        section: Under which heading it is shown.
    """

    def __init__(self, seconds=3.0):
        self.seconds = seconds
        self.section = "?"
        self.measured = []

    def compare(
        self,
        title,
        *,
        floors=(),
        ours=(),
        peers=(),
        x=None,
        is_prepared=False,
        clock=time.perf_counter,
    ):
        """Measures calls in turn, so that what else the machine does hits all of them.

        A turn is as many calls as take 5 ms. Each call is made once before.

        Args:
            title: What is measured.
            floors: Functions without parameters by name: what it costs in plain Python at least.
            ours: Those of bandsaw; the others are compared with the first one.
            peers: Those of other packages.
            x: In a series, the size or number that grows.
            is_prepared: Whether a call prepares the next one in the background. Then turns are
                longer, begin with a call that does not count, and end with a pause: so each call
                pays for one preparation, and no other row for any.
            clock: Reads the time that is measured.
        """
        turn = 20 * _TURN if is_prepared else _TURN
        rows = [
            (kind, name, call)
            for kind, calls in (("floor", floors), ("ours", ours), ("peer", peers))
            for name, call in dict(calls).items()
        ]
        loops = [_loops(call, turn) for _, _, call in rows]
        values = [[] for _ in rows]
        begun = time.perf_counter()
        for number in range(_MOST_ROUNDS):
            if number >= _LEAST_ROUNDS and time.perf_counter() - begun > self.seconds:
                break
            # As `timeit` does: what is collected in a turn was mostly left by others.
            gc.collect()
            gc.disable()
            for position, (_, _, call) in enumerate(rows):
                if is_prepared:
                    time.sleep(turn)
                    call()
                taken = _timed(call, loops[position], clock)
                values[position].append(taken / loops[position])
            gc.enable()
        for (kind, name, _), times in zip(rows, values):
            self._keep(title, kind, name, x, "second", times)
        _tell(title, x, [(kind, name, times) for (kind, name, _), times in zip(rows, values)])

    def series(self, title, points, calls_at):
        """Measures how costs grow.

        Args:
            title: What is measured.
            points: The sizes or numbers that grow.
            calls_at: Returns for one of them the arguments of `compare`.
        """
        whole, self.seconds = self.seconds, self.seconds / 4
        for point in points:
            self.compare(title, x=point, **calls_at(point))
        self.seconds = whole

    def memory(self, title, ours):
        """Keeps numbers of bytes.

        Args:
            title: What they are bytes of.
            ours: Numbers by name.
        """
        for name, size in ours.items():
            self._keep(title, "ours", name, None, BYTE, [max(1, size)])
            print(f"{title}: {name}: {told(size, BYTE)}", flush=True)

    def skip(self, what):
        """Says what cannot be measured here, and why."""
        print(f"skipped: {what}", flush=True)

    def suite(self):
        """Returns what was measured, with the machine, the versions and the date."""
        about = self.about()
        return pyperf.BenchmarkSuite(
            [
                pyperf.Benchmark(
                    [pyperf.Run(values, metadata={**metadata, **about}, collect_metadata=False)]
                )
                for metadata, values in self.measured
            ]
        )

    def about(self):
        """Returns what the figures depend on."""
        found = pyperf.Run([1.0], metadata={"name": "x"}, collect_metadata=True).get_metadata()
        kept = {name: found[name] for name in ("cpu_model_name", "cpu_count") if name in found}
        for name in _PACKAGES:
            try:
                kept[f"{name}_version"] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                pass
        return {
            **kept,
            "date": datetime.datetime.now().isoformat(" ", "seconds"),
            "platform": f"{platform.system()} {platform.machine()}",
            "python_version": platform.python_version(),
        }

    def _keep(self, title, kind, name, x, unit, values):
        full = SEPARATOR.join([title, name] if x is None else [title, name, str(x)])
        metadata = {"name": full, "section": self.section, "kind": kind, "unit": unit}
        if unit == BYTE:
            # Otherwise pyperf takes the bytes for seconds.
            metadata["duration"] = 1e-6
        if x is not None:
            metadata["x"] = x
        self.measured.append((metadata, values))


def shared(call, threads, total):
    """Returns a function that has threads make so many calls with the argument 1 in all.

    The threads are the same ones each time.
    """
    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def some():
        for _ in range(total // threads):
            call(1)

    def run():
        for future in [pool.submit(some) for _ in range(threads)]:
            future.result()

    return run


def peak(call):
    """Measures how much resident memory a call needs at its peak.

    Args:
        call: A function without parameters; it should have been called before.

    Returns:
        The bytes above what was resident before; `None` where the system does not tell.
    """
    # What earlier calls have left in the allocator would serve this one unseen.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew (man 5 proc)
    except OSError:
        return None
    before = _status("VmRSS")
    kept = call()
    grown = _status("VmHWM") - before
    del kept
    return grown


def resident():
    """The bytes that this process has resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def ratio(values, others):
    """Returns the median of the ratios of what was measured in the same rounds."""
    return statistics.median(one / other for one, other in zip(values, others))


def told(value, unit="second"):
    """Writes a duration or a size for readers."""
    if unit == BYTE:
        return f"{value / 1e6:.1f} MB"
    steps = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
    factor, name = next((step for step in steps if value >= step[0]), steps[-1])
    return f"{value / factor:.3g} {name}"


def _timed(call, loops, clock=time.perf_counter):
    begun = clock()
    for _ in range(loops):
        call()
    return clock() - begun


def _loops(call, turn):
    call()
    loops = 1
    while (taken := _timed(call, loops)) < turn and loops < 100_000:
        loops = max(2 * loops, int(loops * turn / max(taken, 1e-6)))
    return loops


def _status(name):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    raise LookupError(name)


def _tell(title, x, rows):
    print(f"\n{title}" + ("" if x is None else f" ({x:,})"))
    reference = next((values for kind, _, values in rows if kind == "ours"), rows[0][2])
    for kind, name, values in rows:
        print(
            f"  {kind:6}{name:42}{told(statistics.median(values)):>10}"
            f"{ratio(values, reference):10.2f}   (least {told(min(values))})",
            flush=True,
        )
