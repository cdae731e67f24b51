"""Makes the two environments that `workflow.py` needs, in `.environments/` beside it.

    python make_environments.py

NumPy 1.26 and NumPy 2 cannot be installed together, so each gets a virtual environment. NumPy 1.26
has wheels for Python 3.9 to 3.12. The script takes the oldest of these that it finds for NumPy 1.26
and the newest for NumPy 2; one is enough for both.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parent / ".environments"
REQUIREMENTS = {"numpy-1": "numpy==1.26.*", "numpy-2": "numpy==2.*"}
VERSIONS = [(3, 9), (3, 10), (3, 11), (3, 12)]


def python_of(name):
    """The executable of an environment, whether it exists or not."""
    if os.name == "nt":
        return ENVIRONMENTS / name / "Scripts" / "python.exe"
    return ENVIRONMENTS / name / "bin" / "python"


def find_interpreters():
    """Finds Pythons that can make a virtual environment for both versions of NumPy.

    Returns:
        A dict from version, as (3, 11), to the path of an executable, oldest first.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for version in VERSIONS:
        name = "python{}.{}".format(*version)
        candidates = [sys.executable]
        candidates += [shutil.which(name)]
        candidates += sorted(str(path) for path in pyenv.glob("*/bin/" + name))
        for candidate in filter(None, candidates):
            if is_usable(candidate, version):
                found[version] = candidate
                break
    return found


def is_usable(executable, version):
    """Whether an executable runs, is of that version, and can make an environment with pip."""
    code = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {version})"
    run = subprocess.run(
        [executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return run.returncode == 0


def is_made(name):
    """Whether an environment is there with a NumPy of the right kind in it."""
    code = "import sys, numpy; sys.exit(numpy.__version__.split('.')[0] != sys.argv[1])"
    python = python_of(name)
    if not python.exists():
        return False
    run = subprocess.run([str(python), "-c", code, name[-1]], stderr=subprocess.DEVNULL)
    return run.returncode == 0


def main():
    """Makes what is missing."""
    missing = [name for name in REQUIREMENTS if not is_made(name)]
    found = find_interpreters() if missing else {}
    if missing and not found:
        sys.exit("Found no Python 3.9 to 3.12, neither on the path nor below ~/.pyenv.")
    for name in missing:
        executable = found[min(found) if name == "numpy-1" else max(found)]
        print(f"{name}: {REQUIREMENTS[name]} in an environment of {executable}", flush=True)
        subprocess.run([executable, "-m", "venv", "--clear", str(ENVIRONMENTS / name)], check=True)
        pip = [str(python_of(name)), "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        subprocess.run([*pip, REQUIREMENTS[name]], check=True, stdin=subprocess.DEVNULL)
    for name in REQUIREMENTS:
        code = "import sys, numpy; print('NumPy', numpy.__version__, 'on Python', sys.version[:6])"
        print(f"{name}:", end=" ", flush=True)
        subprocess.run([str(python_of(name)), "-c", code], check=True)


if __name__ == "__main__":
    main()
