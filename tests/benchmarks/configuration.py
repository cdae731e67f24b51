"""The configuration of the benchmarks: caches in a folder that is removed at the end."""

import atexit
import shutil
import tempfile
from pathlib import Path

import bandsaw

folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
atexit.register(shutil.rmtree, folder, ignore_errors=True)

Cache = bandsaw.advices.cache.CachingAdvice
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(Cache(folder / "plain"))
    .add_advice_chain(Cache(folder / "growing"), name="growing")
    .add_advice_chain(Cache(folder / "bounded", max_bytes=10**12), name="bounded")
    .add_advice_chain(Cache(folder / "mapped", mmap=True), name="mapped")
)
