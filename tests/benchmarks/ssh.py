"""Calls on another machine, against execnet and against ssh itself, with a server on loopback."""

import concurrent.futures
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bandsaw
from bandsaw._archive import keep
from bandsaw._workers.ssh import ssh_connection
from bandsaw.advices.ssh import Remote

from . import ssh_tasks as tasks

TITLE = "Other machines, over SSH"

LARGE = 100_000_000
THREADS = 8


def main(bench):
    """Measures calls without data, and with 100 MB."""
    with server() as sshd, tempfile.TemporaryDirectory() as folder:
        command = config_for(sshd, Path(folder))
        options = {"UserKnownHostsFile": str(sshd.known_hosts), "IdentitiesOnly": "yes"}
        interpreter = bandsaw.Interpreter(executable=sys.executable)

        def remote(name):
            return Remote(
                "127.0.0.1",
                sshd.port,
                sshd.user,
                sshd.key_file,
                interpreter,
                Path(folder) / name,
                options,
            )

        for advice in (tasks.own_advice, tasks.warm_advice):
            advice.add_remote(remote("far"))
        try:
            first_calls(bench, command, remote)
            after_an_edit(bench, sshd, Path(folder))
            small_calls(bench, command)
            at_once(bench)
            bulk(bench, command)
        finally:
            ssh_connection.close_all()


def server():
    """Makes the server that the example uses."""
    path = Path(__file__).parents[2] / "examples" / "remote" / "sshd.py"
    spec = importlib.util.spec_from_file_location("sshd", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Server()


def config_for(sshd, folder):
    """Writes a configuration for `ssh`, and returns the command to log in with it."""
    path = folder / "config"
    path.write_text(
        f"Host far\nHostName 127.0.0.1\nPort {sshd.port}\nUser {sshd.user}\n"
        f"IdentityFile {sshd.key_file}\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {sshd.known_hosts}\n"
    )
    return ["ssh", "-T", "-F", str(path), "far"]


def first_calls(bench, command, remote):
    """Measures calls that have to connect first."""
    archive = bandsaw.distribution.get_distribution_archive(tasks.configuration).path.read_bytes()
    number = 0

    def connect(name):
        ssh_connection.close_all()
        tasks.own_advice.add_remote(remote(name))
        assert tasks.own(1) == 1

    def anew():
        nonlocal number
        number += 1
        connect(f"fresh-{number}")

    def plain(code, data):
        subprocess.run([*command, f"exec {sys.executable} -c '{code}'"], input=data, check=True)

    bench.compare(
        "The first call over a new connection",
        floors={
            "ssh HOST python -c pass": lambda: plain("pass", b""),
            "ssh, and the archive": lambda: plain("import sys; sys.stdin.buffer.read()", archive),
        },
        ours={"archive is there": lambda: connect("far"), "archive is sent": anew},
    )


EDITED = """
import sys
import bandsaw
import large.edited
from bandsaw.advices.ssh import Remote, SshAdvice
from bandsaw._workers.ssh import ssh_start

write, sent = ssh_start.Login.write, []


def counting(self, *pieces):
    sent.append(sum(map(len, pieces)))
    write(self, *pieces)


@bandsaw.task
def value():
    return large.edited.value


if __name__ == "__main__":
    directory, port, user, key_file, known_hosts = sys.argv[1:]
    ssh_start.Login.write = counting
    remote = Remote("127.0.0.1", int(port), user, key_file, bandsaw.Interpreter(),
                    directory, {"UserKnownHostsFile": known_hosts, "IdentitiesOnly": "yes"})
    value.bandsaw_configuration.add_advice_chain(SshAdvice().add_remote(remote))
    assert value() == large.edited.value
    print(sum(sent))
"""
EDITS = 200


def after_an_edit(bench, sshd, folder):
    """Measures a run with one call, in a project of 40 MB, after an edit of one line."""
    project, far, home = folder / "project", folder / "far-of-edits", folder / "home"
    (project / "large" / "data").mkdir(parents=True)
    for number in range(400):
        (project / "large" / "data" / f"{number}.bin").write_bytes(os.urandom(100_000))
    (project / "large" / "__init__.py").touch()
    (project / "workflow.py").write_text(EDITED)
    (project / "bandsaw_config.py").write_text(
        "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
        "configuration.add_advice_chain(bandsaw.advices.ssh.SshAdvice())\n"
    )
    count = 0
    root = str(Path(bandsaw.__file__).parents[1])

    def edit():
        nonlocal count
        count += 1
        (project / "large" / "edited.py").write_text(f"value = {count}\n")

    def run():
        arguments = [far, sshd.port, sshd.user, sshd.key_file, sshd.known_hosts]
        done = subprocess.run(
            [sys.executable, "-B", "workflow.py", *map(str, arguments)],
            cwd=project,
            env={**os.environ, "PYTHONPATH": root, "BANDSAW_HOME": str(home)},
            stdout=subprocess.PIPE,
            check=True,
        )
        return int(done.stdout)

    def edited():
        edit()
        return run()

    edit()
    first = run()
    bench.compare(
        "A run with one call over SSH, in a project of 40 MB",
        ours={"code is there": run, "after an edit": edited},
    )
    sizes = {"at first": first, "after an edit": edited(), "code is there": run()}
    bench.memory("Sent for one call over SSH, in a project of 40 MB", sizes)
    while count < EDITS:
        edited()
    kept = {
        place: sum(keep.sizes_of_new(str(path), set()))
        for place, path in (("here", home / "archives"), ("there", far))
    }
    bench.memory(f"Kept after {EDITS} edits in a project of 40 MB", kept)


def small_calls(bench, command):
    """Measures calls over a connection that is open."""
    try:
        import execnet
    except ImportError:
        bench.skip("execnet is not installed")
        peers = {}
    else:
        group = execnet.Group()
        gateway = group.makegateway(f"ssh=far//ssh_config={command[3]}//python={sys.executable}")
        channel = gateway.remote_exec("while True:\n    channel.send(channel.receive())")

        def echo():
            channel.send(1)
            assert channel.receive() == 1

        peers = {"execnet, echo": echo}
    bench.compare(
        "A call over SSH in a process that is reused",
        ours={"warm process": lambda: tasks.warm(1)},
        peers=peers,
    )
    if peers:
        group.terminate(1)
    bench.compare(
        "A call over SSH in a process of its own",
        floors={"on this machine": lambda: tasks.local(1)},
        ours={"there": lambda: tasks.own(1)},
        is_prepared=True,
    )


def at_once(bench):
    """Measures many calls at once, against as many that follow each other."""
    data = os.urandom(100_000)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        for name, value in (("nothing", 1), ("100 kB", data)):

            def one_by_one(value=value):
                for _ in range(THREADS * 5):
                    tasks.warm(value)

            def together(value=value):
                list(threads.map(tasks.warm, [value] * THREADS * 5))

            bench.compare(
                f"{THREADS * 5} calls over one connection, {name}",
                ours={f"{THREADS} at once": together, "one at a time": one_by_one},
            )


def bulk(bench, command):
    """Measures 100 MB there and back."""
    data = os.urandom(LARGE)

    def cat():
        done = subprocess.run([*command, "cat"], input=data, stdout=subprocess.PIPE, check=True)
        assert len(done.stdout) == LARGE

    bench.compare(
        "100 MB there and back over SSH",
        floors={"ssh HOST cat": cat},
        ours={"warm process": lambda: tasks.warm(data)},
    )
