"""Runs the checks in environments of their own: `nox -l` lists them, `nox -s NAME` runs one.

What follows `--` goes to the program: `nox -s tests-3.9 -- tests/test_config.py`. What a change has
to pass is `.ci/run`.
"""

import nox

PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]

# `nox` alone runs what is quick.
nox.options.sessions = ["lint", "types", "docs"]
# On each machine those that it has.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"


@nox.session(python=PYTHONS)
def tests(session):
    """Tests, on each Python that is there."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session):
    """Style."""
    session.install("ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session):
    """Types of the library, and the typing tests."""
    session.install("-e", ".[test]")
    session.run("mypy", "--strict", "bandsaw", "tests/typing")


@nox.session
def docs(session):
    """The pages of the documentation, into the folder `site`."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "-q", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def examples(session):
    """The examples, with bandsaw installed as a user has it."""
    session.install(".")
    for script in ("quickstart/workflow", "conflicting_dependencies/workflow", "remote/run"):
        session.run("python", f"examples/{script}.py")


@nox.session
def benchmarks(session):
    """Figures, as ratios; `-- cache` for one of them."""
    session.install("-e", ".[benchmarks]")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session
def faults(session):
    """Looks for faults for ten minutes; `-- --minutes 60` for longer."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults", *(session.posargs or ("--minutes", "10")))
