"""A large file to another machine and back, against scp: `python -m tests.benchmarks.files`.

The server is on loopback. Prints seconds and the peak of memory of both ends, and ends with status
1 where something is beyond its bound: 1.3 times scp, and 50 MB.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .ssh import server

MOST_TIMES_SCP = 1.3
MOST_BYTES = 50_000_000
CONFIGURATION = """\
import bandsaw, json, os, sys
from bandsaw.advices.ssh import Remote, SshAdvice

remote = Remote(interpreter=bandsaw.Interpreter(executable=sys.executable), directory={far!r},
                **json.loads({arguments!r}))
configuration = bandsaw.Configuration().add_advice_chain(SshAdvice(workers=1).add_remote(remote))
"""
WORKFLOW = """\
import json, os, sys, time
import bandsaw


def peak(pid="self"):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


@bandsaw.task
def size(file):
    # The process of a task is forked by a template, and this one by the hub.
    return (os.path.getsize(file) if file else 0), peak(parent(os.getppid()))


@bandsaw.task
def back(path):
    return bandsaw.File(path)


if __name__ == "__main__":
    path, other = sys.argv[1:]
    seconds = []
    size(None)
    for call in (lambda: size(bandsaw.File(path)), lambda: size(bandsaw.File(path)),
                 lambda: back(other)):
        os.sync()
        begun = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - begun)
    os.unlink(result)
    print(json.dumps([*seconds, peak(), size(None)[1]]))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the files are made")
    options = parser.parse_args()
    with server() as sshd, tempfile.TemporaryDirectory(dir=options.folder) as name:
        rounds = [measured(sshd, Path(name), options.bytes) for _ in range(options.rounds)]
    there, back, sent, again, fetched, near, far = map(statistics.median, zip(*rounds))
    print(f"{options.bytes} bytes, medians of {options.rounds} rounds")
    print(f"scp there   {there:6.2f} s   scp back    {back:6.2f} s")
    print(f"argument    {sent:6.2f} s   {sent / there:.2f} times scp; again {again:.3f} s")
    print(f"result      {fetched:6.2f} s   {fetched / back:.2f} times scp")
    print(f"memory      {near / 1e6:.0f} MB here, {far / 1e6:.0f} MB there")
    is_good = max(sent / there, fetched / back) <= MOST_TIMES_SCP and max(near, far) <= MOST_BYTES
    return 0 if is_good else 1


def measured(sshd, folder, size):
    """Returns seconds of scp and of bandsaw, and the peaks of memory."""
    path = folder / "data.bin"
    with open(path, "wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - start)))
    known = f"UserKnownHostsFile={sshd.known_hosts}"
    scp = ["scp", "-q", "-P", str(sshd.port), "-i", str(sshd.key_file), "-o", known]
    scp += ["-o", "IdentitiesOnly=yes"]
    host = f"{sshd.user}@127.0.0.1"
    seconds = [
        timed([*scp, str(path), f"{host}:{folder / 'there'}"]),
        timed([*scp, f"{host}:{folder / 'there'}", str(folder / "back")]),
    ]
    (folder / "back").unlink()
    options = {"UserKnownHostsFile": str(sshd.known_hosts), "IdentitiesOnly": "yes"}
    arguments = {
        "host": "127.0.0.1", "port": sshd.port, "user": sshd.user,
        "key_file": str(sshd.key_file), "options": options,
    }  # fmt: skip
    project, far = folder / "project", folder / "far"
    project.mkdir()
    (project / "bandsaw_config.py").write_text(
        CONFIGURATION.format(far=str(far), arguments=json.dumps(arguments))
    )
    (project / "workflow.py").write_text(WORKFLOW)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "BANDSAW_HOME": str(folder / "home"),
    }
    done = subprocess.run(
        [sys.executable, "workflow.py", str(path), str(folder / "there")],
        cwd=project, env=environment, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    for each in (project, far, folder / "home"):
        subprocess.run(["chmod", "-R", "u+w", str(each)], check=True)
        shutil.rmtree(each)
    (folder / "there").unlink()
    return [*seconds, *json.loads(done.stdout)]


def timed(command):
    """Returns the seconds that a command takes, when nothing is left to be written to the disk."""
    os.sync()
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
