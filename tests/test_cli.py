import argparse
import os
import shlex
import subprocess
import sys

import pytest

import bandsaw
from bandsaw.__main__ import main, make_parser

CONFIGURATION = """
    import bandsaw

    class Telling(bandsaw.Extension):
        pass

    configuration = bandsaw.Configuration()
    configuration.add_extension(Telling())
    configuration.add_modules_for_distribution({module!r})
    configuration.set_serializer(bandsaw.JsonSerializer())
    configuration.add_advice_chain(
        bandsaw.advices.log.LoggingAdvice(),
        bandsaw.advices.subprocess.SubprocessAdvice(
            interpreter=bandsaw.Interpreter(executable={executable!r})),
        name='mine',
    )
"""


def check(project, *arguments, executable=sys.executable, module="json", **variables):
    text = CONFIGURATION.format(executable=str(executable), module=module)
    project.write("bandsaw_config.py", text)
    return project.run("-m", "bandsaw", "check", *arguments, check=False, **variables)


def test_the_version_and_the_help_are_told(project):
    assert project.run("-m", "bandsaw", "--version").stdout == f"bandsaw {bandsaw.__version__}\n"
    for arguments in (["--help"], [], ["check", "--help"]):
        assert "check" in project.run("-m", "bandsaw", *arguments).stdout
    assert project.run("-m", "bandsaw", "other", check=False).returncode == 2


def test_each_command_shows_an_example_that_it_understands():
    parser = make_parser("bandsaw")
    pending, seen = [parser], 0
    while pending:
        command = pending.pop()
        words = shlex.split(command.epilog)
        assert words[:2] == ["example:", "bandsaw"], command.prog
        assert command.prog.split() == words[1 : 1 + len(command.prog.split())]
        parser.parse_args(words[2:])
        seen += 1
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
    assert seen > 20


def test_a_good_configuration_is_listed(project, pythons):
    version, executable = max(pythons.items())
    done = check(project, executable=executable)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for part in (
        "configuration: bandsaw_config (",
        "JsonSerializer",
        "bandsaw_config.Telling",
        "distribution modules: json",
        "advice chain 'default': no advices",
        "advice chain 'mine':",
        "bandsaw.advices.log.LoggingAdvice",
        f"interpreter {executable}: Python {version[0]}.{version[1]}.",
    ):
        assert part in done.stdout
    assert project.left_behind() == []


# In the C locale the output is as the second one.
@pytest.mark.parametrize("encoding", ["ascii", "ascii:surrogateescape"])
def test_what_the_output_has_no_code_for_is_escaped(project, encoding):
    project.write("größe/own.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    project.write("größe/__init__.py", "")
    done = check(project, "--config", "größe.own", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "configuration: gr\\xf6\\xdfe.own (" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("command", ["cache ls --directory .", "check", "--help"])
def test_where_the_output_is_closed_commands_do_their_work_without_a_word(project, command):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    command = f'exec "{sys.executable}" -m bandsaw {command} >&-'
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=project.folder,
        env=project.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_another_configuration_can_be_named(project):
    project.write("other.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    done = check(project, "--config", "other")
    assert done.returncode == 0
    assert "configuration: other (" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No module named 'bandsaw_config'"),
        ("x = 1", "no variable 'configuration'"),
        ("configuration = 1", "is of type int"),
        ("\nimport no_such_module", "named 'no_such_module' (bandsaw_config.py, line 2)"),
        ("1 / 0", "ZeroDivisionError: division by zero (bandsaw_config.py, line 1)"),
        ("import os\nos.environ['NOT_SET']", "KeyError: 'NOT_SET' (bandsaw_config.py, line 2)"),
        ("(", "SyntaxError: '(' was never closed" if sys.version_info >= (3, 10) else "EOF"),
    ],
)
def test_a_configuration_that_cannot_be_loaded_is_a_reason(project, text, said):
    if text is not None:
        project.write("bandsaw_config.py", text)
    done = project.run("-m", "bandsaw", "check", check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["runs ls", "archive ls", "archive build"])
def test_a_configuration_that_fails_is_an_error_in_one_line(project, command):
    project.write("bandsaw_config.py", "1 / 0")
    done = project.run("-m", "bandsaw", *command.split(), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The configuration cannot be loaded: ZeroDivisionError")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["cache explain broken.f 1", "archive ls --module broken"])
def test_a_module_that_fails_is_an_error_in_one_line(project, command):
    caching = ".add_advice_chain(bandsaw.advices.cache.CachingAdvice('cache'))"
    text = f"import bandsaw\nconfiguration = bandsaw.Configuration(){caching}"
    project.write("bandsaw_config.py", text)
    for text, said in (("1 / 0", "ZeroDivisionError"), ("None.x", "AttributeError")):
        project.write("broken.py", text)
        done = project.run("-m", "bandsaw", *command.split(), check=False)
        assert done.returncode == 1
        start = f"error: The module 'broken' cannot be imported: {said}"
        assert done.stderr.startswith(start) and done.stderr.count("\n") == 1


def test_an_interpreter_that_cannot_be_reached_is_a_reason(project):
    for executable, said in (
        ("/not/there", "cannot be started"), ("/bin/false", "is no Python"),
        ("/bin/echo", "is no Python"),
    ):  # fmt: skip
        done = check(project, executable=executable)
        assert done.returncode == 1
        assert f"interpreter {executable}: {said}" in done.stderr
        assert "chain 'mine'" in done.stderr


def test_a_python_that_a_script_starts_with_a_word_is_reached(project):
    script = project.write("python", f'#!/bin/sh\necho Loading\nexec {sys.executable} "$@"\n')
    script.chmod(0o700)
    done = check(project, executable=script)
    assert done.stderr == ""
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"interpreter {script}: Python {version}" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_check_ends_where_nobody_reads_on(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "bandsaw", "check"],
        cwd=project.folder, env=project.environment(), stdout=writing, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_no_interpreter_is_a_reason(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.ssh import Remote, SshAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice

        class Own(bandsaw.Advice):
            remotes = {'there': 'host'}

        taken = SubprocessAdvice()
        taken.interpreter = '/usr/bin/python3'
        ssh, one = SshAdvice(), Remote('one', interpreter=bandsaw.Interpreter())
        one.interpreter = 'python'
        ssh.add_remote(one).remotes['two'] = 'host'
        configuration = bandsaw.Configuration().add_advice_chain(taken, ssh, Own())
        """,
    )
    done = project.run("-m", "bandsaw", "check", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("interpreter:", "remote 'default' (one):", "remote 'two' (host):"):
        assert name in done.stderr
    assert done.stderr.count("bandsaw.Interpreter(executable=") == 3


def test_an_executor_is_reached_and_said_what_its_worker_lacks(project):
    project.write(
        "bandsaw_config.py",
        """
        import pickle, subprocess, sys
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw, numpy, tool
        from bandsaw.advices.executor import ExecutorAdvice

        RUN = (
            "import pickle, sys; function, args = pickle.load(sys.stdin.buffer); "
            "pickle.dump(function(*args), sys.stdout.buffer)"
        )

        class Bare(ThreadPoolExecutor):
            def submit(self, *what):
                return super().submit(self.there, what)

            def there(self, what):
                # Without what is installed.
                command = [sys.executable, "-I", "-S", "-c", RUN]
                data = pickle.dumps((what[0], what[1:]))
                done = subprocess.run(command, input=data, capture_output=True)
                return pickle.loads(done.stdout)

        def nothing():
            raise OSError("nobody there")

        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(ExecutorAdvice(lambda: Bare(1)))
            .add_advice_chain(ExecutorAdvice(lambda: Bare(1), isolate=False), name="loaded")
            .add_advice_chain(ExecutorAdvice(nothing), name="lost")
        )
        """,
    )
    project.write("tool.py", "import numpy")
    done = project.run("-m", "bandsaw", "check", check=False)
    assert done.returncode == 1
    version = ".".join(map(str, sys.version_info[:3]))
    found = f"executor Bare: 1 worker asked, Python {version}, not installed there: numpy"
    assert found in done.stdout
    assert "chain 'loaded', bandsaw.advices.executor.ExecutorAdvice, executor Bare" in done.stderr
    assert "bandsaw is not installed there, which isolate=False needs" in done.stderr
    assert "executor: cannot be reached: OSError: nobody there" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_an_interpreter_that_is_too_old_is_a_reason(project, tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3.8.1\n")
    old.chmod(0o700)
    done = check(project, executable=old)
    assert done.returncode == 1
    assert "Python 3.8.1 is too old" in done.stderr


def test_a_distribution_module_that_is_missing_is_a_reason(project):
    done = check(project, module="no_such_module")
    assert done.returncode == 1
    assert "no_such_module" in done.stderr


@pytest.mark.xdist_group("sshd")
def test_remotes_are_asked_what_they_are_like(
    project, remote_arguments, sshd_module, sshd, tmp_path
):
    other = {**remote_arguments, "port": sshd_module._free_port()}
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o700)
    project.write(
        "bandsaw_config.py",
        f"""
        import sys
        import bandsaw
        from bandsaw.advices.ssh import Remote, SshAdvice

        import pytest  # installed here, and not where nothing is

        python = bandsaw.Interpreter(executable=sys.executable)
        advice = SshAdvice().add_remote(
            Remote(interpreter=python, directory={str(tmp_path / "far")!r}, **{remote_arguments!r})
        )
        advice.add_remote(Remote(interpreter=python, **{other!r}), 'down')
        bare = bandsaw.Interpreter(executable={str(bare)!r})
        advice.add_remote(
            Remote(interpreter=bare, directory={str(tmp_path / "far")!r}, **{remote_arguments!r}),
            'bare',
        )
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        configuration.add_advice_chain(SshAdvice(), name='without')
        """,
    )
    done = project.run("-m", "bandsaw", "check", check=False)
    version = ".".join(map(str, sys.version_info[:3]))
    assert done.returncode == 1
    assert f"remote 'default' (127.0.0.1): Python {version} at {sys.executable}" in done.stdout
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", sshd.known_hosts], capture_output=True, text=True, check=True
    )
    assert f"host key ssh-ed25519 {fingerprint.stdout.split()[1]}" in done.stdout
    for part in ("ms there and back", "its clock is right", f"GB free in {tmp_path / 'far'}"):
        assert part in done.stdout
    assert done.stdout.count("not installed there: ") == 1
    (line,) = (line for line in done.stdout.splitlines() if "remote 'bare'" in line)
    assert line.endswith("not installed there: pytest")
    assert "remote 'down' (127.0.0.1): cannot be reached:" in done.stderr
    assert "Connection refused" in done.stderr
    assert "debug1" not in done.stderr
    assert "chain 'without'" in done.stderr


@pytest.mark.parametrize("works", [True, False])
def test_a_backend_of_the_users_own_is_asked_to_run_python(project, works):
    project.write(
        "bandsaw_config.py",
        f"""
        import sys
        import bandsaw
        from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend

        class Own(SshBackend):
            def copy_file_to_remote(self, *_): pass
            def copy_file_from_remote(self, *_): pass
            def execute_remote(self, remote, executable, *arguments):
                assert {works}, 'own words'

        python = bandsaw.Interpreter(executable='/far/python')
        advice = SshAdvice(backend=Own()).add_remote(Remote('host', interpreter=python))
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    done = project.run("-m", "bandsaw", "check", check=False)
    assert done.returncode == (0 if works else 1)
    assert ("/far/python runs" in done.stdout) is works
    assert ("own words" in done.stderr) is not works


@pytest.mark.parametrize(
    ("command", "name"), [("cache explain", "target"), ("archive run", "archive")]
)
def test_only_what_is_required_is_asked_for(command, name, capsys):
    with pytest.raises(SystemExit):
        main(command.split())
    assert capsys.readouterr().err.endswith(f"the following arguments are required: {name}\n")
