"""A large file to another machine and back, against scp: `python -m tests.benchmarks.files`.

The server is on loopback. Prints seconds, processor time of all processes and the peak of memory of
both ends, and ends with status 1 where something is beyond its bound: 1.3 times scp, and 50 MB.
Each call has a run of scp with the same file just before it; their ratios are what counts.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
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
import json, os, subprocess, sys, time
import bandsaw


def peak(pid="self"):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def used(top):
    # Processor seconds of a process, of all that it has started, and of what they waited for.
    found, parents = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(pid)] = sum(map(int, fields[11:15]))
        parents.setdefault(int(fields[1]), []).append(int(pid))
    pending, total = [top], 0
    while pending:
        pid = pending.pop()
        total += found.get(pid, 0)
        pending += parents.get(pid, ())
    return total / os.sysconf("SC_CLK_TCK")


@bandsaw.task
def size(file):
    # The process of a task is forked by a fork server, and this one by the hub.
    return (os.path.getsize(file) if file else 0), peak(parent(os.getppid()))


@bandsaw.task
def back(path):
    return bandsaw.File(path)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    measured = {}

    def run(name, call):
        os.sync()
        begun, used_before = time.perf_counter(), used(given["top"])
        result = call()
        measured[name] = [time.perf_counter() - begun, used(given["top"]) - used_before]
        return result

    size(None)
    run("scp there", lambda: subprocess.run(given["there"], check=True))
    run("argument", lambda: size(bandsaw.File(given["path"])))
    run("again", lambda: size(bandsaw.File(given["path"])))
    run("scp back", lambda: subprocess.run(given["back"], check=True))
    os.unlink(given["back"][-1])
    os.unlink(run("result", lambda: back(given["other"])))
    print(json.dumps({**measured, "memory": [peak(), size(None)[1]]}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the files are made")
    options = parser.parse_args()
    with server() as sshd, tempfile.TemporaryDirectory(dir=options.folder) as name:
        rounds = [measured(sshd, Path(name), options.bytes) for _ in range(options.rounds)]
    print(f"{options.bytes} bytes, medians of {options.rounds} rounds")
    ratios = []
    for name, scp in (("argument", "scp there"), ("result", "scp back")):
        ours, theirs = ([each[of] for each in rounds] for of in (name, scp))
        ratio, processor = (
            statistics.median(one[at] / other[at] for one, other in zip(ours, theirs))
            for at in (0, 1)
        )
        ratios.append(ratio)
        (wall, used), (scp_wall, scp_used) = (
            map(statistics.median, zip(*each)) for each in (ours, theirs)
        )
        print(
            f"{name:9} {wall:6.2f} s, scp {scp_wall:6.2f} s: {ratio:.2f} times; processor "
            f"{used:.2f} s, scp {scp_used:.2f} s: {processor:.2f} times"
        )
    again = statistics.median(each["again"][0] for each in rounds)
    near, far = (max(sizes) for sizes in zip(*(each["memory"] for each in rounds)))
    print(f"again     {again:.3f} s; memory {near / 1e6:.0f} MB here, {far / 1e6:.0f} MB there")
    return 0 if max(ratios) <= MOST_TIMES_SCP and max(near, far) <= MOST_BYTES else 1


def measured(sshd, folder, size):
    """Returns seconds and processor seconds by what was done, and the peaks of memory."""
    path = folder / "data.bin"
    with open(path, "wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - start)))
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
    there, known = folder / "there", f"UserKnownHostsFile={sshd.known_hosts}"
    scp = ["scp", "-q", "-P", str(sshd.port), "-i", str(sshd.key_file), "-o", known]
    scp += ["-o", "IdentitiesOnly=yes"]
    given = {
        "top": os.getpid(), "path": str(path), "other": str(there),
        "there": [*scp, str(path), f"{sshd.user}@127.0.0.1:{there}"],
        "back": [*scp, f"{sshd.user}@127.0.0.1:{there}", str(folder / "back")],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "workflow.py", json.dumps(given)],
        cwd=project, env=environment, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    for each in (project, far, folder / "home"):
        subprocess.run(["chmod", "-R", "u+w", str(each)], check=True)
        shutil.rmtree(each)
    there.unlink()
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
