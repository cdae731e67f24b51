import sys
import textwrap

import pytest

from bandsaw._session import members

TASKS = """
class OwnError(Exception):
    def __init__(self, first, *, second):
        super().__init__(first)
        self.second = second

    def __reduce__(self):
        return remake, (self.args[0], self.second), self.__dict__

def remake(first, second):
    return OwnError(first, second=second)

@bandsaw.task
def fail(how='plain'):
    if how == 'plain':
        error = OwnError((1, 'x'), second={2})
        error.added = [3]
        raise error  # in the source
    if how == 'cause':
        try:
            raise KeyError('inner')
        except KeyError as inner:
            raise OwnError(1, second=2) from inner
    if how == 'context':
        try:
            raise KeyError('inner')
        except KeyError:
            raise OwnError(1, second=2)
    if how == 'notes':
        error = OwnError(1, second=2)
        error.add_note('noted')
        raise error
    if how == 'group':
        inner = ExceptionGroup('in', [KeyError(3)])
        raise ExceptionGroup('several', [OwnError(1, second=2), inner])
    if how == 'same':
        raise LookupError

def caught(how):
    try:
        fail(how)
    except Exception as error:
        return error
"""


def test_an_error_has_its_type_arguments_and_attributes(run, mode):
    body = """
    for _ in range(2):
        try:
            fail()
        except OwnError as error:
            assert type(error) is OwnError and error.args == ((1, 'x'),)
            assert error.second == {2} and error.added == [3]
        else:
            raise AssertionError
    """
    run(TASKS, body, mode)


def test_an_error_with_c_code_of_its_own_is_made_as_it_says(run, mode):
    tasks = """
    import pydantic

    class Model(pydantic.BaseModel):
        number: int

    @bandsaw.task
    def fail(text):
        return Model(number=text)
    """
    body = """
    errors = []
    for function in (fail, fail.__wrapped__):
        try:
            function("x")
        except pydantic.ValidationError as error:
            errors.append((str(error), error.errors(), error.title))
    assert len(errors) == 2 and errors[0] == errors[1]
    """
    run(textwrap.dedent(tasks), body, mode)


def test_the_traceback_of_the_other_side_is_printed_with_its_source(run, mode):
    done = run(TASKS, "fail()", mode, check=False)
    assert done.returncode == 1
    assert done.stderr.count("raise error  # in the source") >= 1
    assert "RemoteTraceback" in done.stderr
    # Before 3.10 the module of the script is named, too.
    last = [line for line in done.stderr.splitlines() if not line.startswith("In the call")][-1]
    assert "OwnError" in last.partition(":")[0]


def test_the_traceback_of_the_other_side_ends_the_chain_of_causes(run, mode):
    body = """
    for how in ('plain', 'cause', 'context', 'same'):
        error = caught(how)
        chain = [error]
        while chain[-1].__cause__ or chain[-1].__context__:
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        names = [type(each).__name__ for each in chain]
        assert names[-1] == 'RemoteTraceback' and names.count('RemoteTraceback') == 1, names
        inner = {'cause': ['KeyError'], 'context': ['KeyError']}.get(how, [])
        assert names[1:-1] == inner, names
        assert 'workflow.py' in str(chain[-1]) and 'in fail' in str(chain[-1])
        if how == 'cause':
            assert error.__cause__.args == ('inner',)
        if how == 'context':
            assert error.__context__.args == ('inner',)
    """
    run(TASKS, body, mode)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes are new in Python 3.11")
def test_notes_and_groups_arrive(run, mode):
    body = """
    assert caught('notes').__notes__[0] == 'noted'
    try:
        fail('group')
    except* OwnError as group:
        assert group.exceptions[0].second == 2
    except* KeyError as group:
        assert group.exceptions[0].exceptions[0].args == (3,)
    """
    run(TASKS, body, mode)


def test_an_error_that_was_raised_two_processes_away_is_still_itself(run, mode):
    tasks = TASKS + "\n@bandsaw.task\ndef outer():\n    fail()\n"
    body = """
    try:
        outer()
    except OwnError as error:
        assert error.args == ((1, 'x'),) and error.added == [3]
    else:
        raise AssertionError
    """
    run(tasks, body, mode)
    done = run(tasks, "outer()", mode, check=False)
    assert "raise error  # in the source" in done.stderr


def test_what_ends_a_program_reaches_the_caller_and_not_the_process(run, mode):
    tasks = """
    class Stop(BaseException):
        pass

    @bandsaw.task
    def f(how):
        if how == 'exit':
            sys.exit(3)
        if how == 'text':
            raise SystemExit('why')
        if how == 'stop':
            raise Stop(1)
        if how == 'close':
            raise GeneratorExit('x')
        return os.getpid()
    """
    body = """
    pid = f('')
    for how, kind, args in [('exit', SystemExit, (3,)), ('text', SystemExit, ('why',)),
                            ('stop', Stop, (1,)), ('close', GeneratorExit, ('x',))]:
        try:
            f(how)
        except BaseException as error:
            assert type(error) is kind and error.args == args, repr(error)
        else:
            raise AssertionError
    print(f('') == pid)
    """
    done = run(tasks, body, mode)
    assert done.stderr == ""
    assert done.stdout == f"{mode == 'workers=1'}\n"
    assert run(tasks, "f('exit')", mode, check=False).returncode == 3


def test_an_interrupt_ends_the_process_and_says_so(run, mode):
    tasks = """
    @bandsaw.task
    def f(fails):
        if fails:
            raise KeyboardInterrupt
        return 1
    """
    body = """
    try:
        f(True)
    except bandsaw.errors.WorkerDiedError as error:
        print(error)
    assert f(False) == 1
    """
    told = run(tasks, body, mode).stdout
    assert "KeyboardInterrupt" in told
    assert "task workflow.f" in told


class Mute(Exception):
    def __str__(self):
        raise ValueError("it says nothing")


def test_an_error_that_is_too_large_and_cannot_be_printed_is_sent_by_its_name():
    written = members.written_failure(Mute("x" * 10_000_000))
    assert len(written) < 10_000
    assert "Mute without message" in str(members.failure_of(written))
