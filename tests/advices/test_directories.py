"""Relative directories of advices mean where the advices were made, for the whole run."""

import os

import pytest

KINDS = {"own": "", "kept": "workers=1", "spawned": "fork=False", "preloaded": "preload=['flow']"}
FLOW = """
    import os
    import bandsaw

    @bandsaw.task
    def where(n):
        return os.getcwd()

    @bandsaw.task(chain="inner")
    def inner(n):
        return n

    @bandsaw.task(chain="outer")
    def outer(n):
        os.chdir("/")
        return inner(n)

    if __name__ == "__main__":
        print(where(0))
        for folder in ("one", "two"):
            os.mkdir(folder)
            os.chdir(folder)
            where(0), where(1), outer(0), outer(1)
            os.chdir("..")
        configuration = bandsaw.get_configuration()
        cache, = [a for a in configuration.get_advice_chain("inner")][:1]
        print(cache.directory, bandsaw.explain(inner, 0).is_hit)
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [True, False])
def test_a_relative_cache_is_one_wherever_calls_go(project, kind, channels):
    if not channels and kind != "own":
        pytest.skip("processes without channels are all of one kind")
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices import subprocess
        subprocess._HAS_CHANNELS = {channels}
        move = lambda: subprocess.SubprocessAdvice("moved", {KINDS[kind]})
        cache = lambda: bandsaw.advices.cache.CachingAdvice(".cache")
        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(move(), cache())
            .add_advice_chain(cache(), name="inner")
            .add_advice_chain(move(), name="outer")
        )
        """,
    )
    project.write("flow.py", FLOW)
    done = project.run("flow.py")
    assert done.stdout.splitlines() == [str(project.folder), ".cache True"]
    caches = [path for path, folders, _ in os.walk(project.folder) if ".cache" in folders]
    assert caches == [str(project.folder)]
    entries = [path for path in (project.folder / ".cache").glob("*/*") if path.name[0] != "."]
    assert len(entries) == 4
    assert not (project.folder / "one" / "moved").exists()


def test_a_directory_that_is_set_later_counts_from_where_the_advice_was_made(tmp_path, monkeypatch):
    from bandsaw.advices.cache import CachingAdvice

    monkeypatch.chdir(tmp_path)
    advice = CachingAdvice("first")
    monkeypatch.chdir("/")
    assert advice.root == str(tmp_path / "first")
    advice.directory = tmp_path / "second"
    assert advice.root == str(tmp_path / "second")
