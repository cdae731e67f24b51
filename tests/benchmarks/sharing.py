"""A store that a team shares, against its driver alone and against joblib with a shared folder."""

import contextlib
import functools
import itertools
import os
import pickle
from pathlib import Path

import bandsaw
from bandsaw._cache import shared
from tests.stores import S3, lacks

from .cache import called, large, plain
from .configuration import folder

TITLE = "A store that a team shares"


def main(bench):
    """Measures everything."""
    missing = lacks("fsspec")
    if missing:
        bench.skip(missing)
        return
    # What was loaded before a fork is not used after it, and nothing here forks.
    configuration = bandsaw.get_configuration(f"{__package__}.configuration")
    measure(bench, configuration, "a shared folder", f"file://{folder / 'team'}", with_joblib)
    missing = lacks("s3fs", "moto", "flask")
    if missing:
        bench.skip(missing)
        return
    with S3(folder) as server:
        os.environ.update(server.variables)
        # The driver's variables are read when fsspec is loaded.
        import fsspec

        fsspec.config.conf["s3"] = {"endpoint_url": server.variables["FSSPEC_S3_ENDPOINT_URL"]}
        measure(bench, configuration, "S3 of moto", server.url, lambda bench, function: {})


def with_joblib(bench, function):
    """Caches of joblib in a folder that could be shared, each of its own."""
    try:
        import joblib
    except ImportError:
        bench.skip("joblib.Memory: joblib is not installed")
        return {}
    memory = joblib.Memory(folder / "joblib-team", verbose=0)
    return {"joblib.Memory": memory.cache(function)}


def measure(bench, configuration, place, url, peers):
    """Measures hits that are not in the local folder, and misses."""
    import fsspec

    system, root = fsspec.core.url_to_fs(url)
    system.makedirs(f"{root}/raw", exist_ok=True)
    local, name = folder / f"local of {place}", place.replace(" ", "-")
    advice = bandsaw.advices.cache.CachingAdvice(local, shared=url, shared_trusted=True)
    configuration.add_advice_chain(advice, name=name)
    store = shared.store_of(url)
    for function, size in ((plain, "small"), (large, "100 MB")):
        task = bandsaw.task(config=configuration.module_name, chain=name)(function)
        task(1)
        store.sending.finish()
        (entry,) = (path for path in local.rglob("*") if path.is_file())
        raw = f"{root}/raw/{size.split()[0]}"
        system.pipe_file(raw, pickle.dumps(function(1), protocol=5))

        def hit(task=task, entry=entry):
            entry.unlink()
            return task(1)

        def get_and_unpickle(raw=raw):
            return pickle.loads(system.cat_file(raw))

        bench.compare(
            f"A hit in {place}, {size}",
            floors={"the driver, and unpickle": get_and_unpickle},
            ours={"hit in the store": hit, "hit in the local folder": functools.partial(task, 1)},
            peers=called(peers(bench, function), 1),
        )
        if size == "small":
            misses(bench, task, store, system, root, peers(bench, function), place)
        with contextlib.suppress(FileNotFoundError):
            entry.unlink()
        for path in Path(local).rglob("*"):
            if path.is_file():
                path.unlink()


def misses(bench, task, store, system, root, others, place):
    """Measures misses: until the call returns, and until the entry is in the store."""
    numbers = itertools.count(10)

    def put():
        number = next(numbers)
        data = pickle.dumps(plain(number), protocol=5)
        with contextlib.suppress(FileNotFoundError):
            system.cat_file(f"{root}/raw/{number}")
        system.pipe_file(f"{root}/raw/{number}", data)

    def sent():
        task(next(numbers))
        store.sending.finish()

    bench.compare(
        f"A miss in {place}, small",
        floors={"the driver: look and put": put},
        ours={"miss": sent},
        peers={name: (lambda f=other: f(next(numbers))) for name, other in others.items()},
    )
