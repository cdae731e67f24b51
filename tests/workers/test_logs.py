import pytest

pytestmark = pytest.mark.slow

TASK = """
import logging

log = logging.getLogger('task.part')

class Odd:
    def __str__(self):
        raise ZeroDivisionError('odd')

    def __repr__(self):
        return 'Odd()'

@bandsaw.task
def f(what='say'):
    if what == 'say':
        log.debug('detail')
        log.info('told %s', 'you', extra={'plain': [1, 'x'], 'odd': Odd()})
        log.warning('beware')
    if what == 'raise':
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception('went wrong', stack_info=True)
    if what == 'threads':
        def say(n):
            log.warning('thread %d', n)
        threads = [threading.Thread(target=say, args=(n,), name=f'own-{n}') for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    if what == 'unformattable':
        log.warning('%d', 'x')
        log.warning('%s', Odd())
        log.warning('after')
    if what == 'many':
        for n in range(2000):
            log.warning('%d %s', n, 'x' * 100)
    return os.getpid()

class Keeping(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

kept = Keeping()
records = kept.records
"""


def test_records_reach_the_loggers_of_the_caller_as_they_were_made(run, mode):
    body = """
    logging.getLogger('task').addHandler(kept)
    logging.getLogger('task').setLevel('INFO')
    for _ in range(2):
        begun = time.time()
        pid = f()
        told, warned = records
        assert (told.levelname, told.levelno, told.name) == ('INFO', 20, 'task.part')
        assert told.getMessage() == 'told you' and warned.getMessage() == 'beware'
        assert begun - 1 < told.created <= warned.created < time.time() + 1
        assert told.funcName == 'f' and told.filename == 'workflow.py'
        with open(__file__) as file:
            assert 'told %s' in file.read().splitlines()[told.lineno - 1]
        assert told.plain == [1, 'x'] and told.odd == 'Odd()'
        assert told.bandsaw_task == 'workflow.f'
        assert told.bandsaw_host == __import__('socket').gethostname()
        assert told.process == pid
        records.clear()
    """
    assert run(TASK, body, mode).stderr == ""


def test_the_traceback_of_a_record_comes_as_text(run, mode):
    body = """
    logging.getLogger().addHandler(kept)
    f('raise')
    record, = records
    assert 'ZeroDivisionError: division by zero' in record.exc_text
    assert 'Stack (most recent call last)' in record.stack_info
    assert 'ZeroDivisionError' in logging.Formatter().format(record)
    """
    run(TASK, body, mode)


def test_the_levels_of_the_caller_decide_at_each_call(run, mode):
    body = """
    logging.getLogger().addHandler(kept)

    def levels():
        records.clear()
        f()
        return [record.levelname for record in records]

    assert levels() == ['WARNING']
    logging.getLogger('task.part').setLevel('DEBUG')
    assert levels() == ['DEBUG', 'INFO', 'WARNING']
    logging.getLogger('task.part').setLevel('NOTSET')
    assert levels() == ['WARNING']
    logging.getLogger('task').setLevel('INFO')
    assert levels() == ['INFO', 'WARNING']
    logging.disable(logging.WARNING)
    assert levels() == []
    logging.disable(logging.NOTSET)
    logging.getLogger('task').setLevel('ERROR')
    assert levels() == []
    logging.getLogger('task').setLevel('NOTSET')
    logging.getLogger().setLevel('DEBUG')
    assert [level for level in levels()][-3:] == ['DEBUG', 'INFO', 'WARNING']
    """
    run(TASK, body, mode)


def test_a_record_is_not_made_where_nobody_wants_it(run, mode):
    tasks = """
    import logging

    @bandsaw.task
    def f():
        return [logging.getLogger('a.b').isEnabledFor(level) for level in (10, 20, 30)]
    """
    body = """
    assert f() == [False, False, True]
    logging.getLogger('a').setLevel('INFO')
    assert f() == [False, True, True]
    logging.disable(logging.CRITICAL)
    assert f() == [False, False, False]
    """
    run(tasks, body, mode)


def test_a_call_by_itself_says_nothing(run, mode):
    tasks = "import logging\n\n@bandsaw.task\ndef f():\n    logging.getLogger('x').info('x')"
    done = run(tasks, "f()\nf()", mode)
    assert done.stdout == done.stderr == ""
    done = run(tasks, "logging.basicConfig(level='INFO')\nf()\nf()", mode)
    assert done.stderr == "INFO:x:x\n" * 2


def test_a_warning_is_printed_where_no_logging_is_configured(run, mode):
    assert run(TASK, "f()", mode).stderr == "beware\n"


@pytest.mark.parametrize("where", ["at the top", "under the guard"])
def test_a_script_that_configures_logging_gets_each_line_once(run, mode, where):
    configure = "logging.basicConfig(level='INFO', format='%(levelname)s %(message)s')"
    tasks, body = TASK, "f()\nf()"
    if where == "at the top":
        tasks += configure + "\n"
    else:
        body = f"{configure}\n{body}"
    assert run(tasks, body, mode).stderr == "INFO told you\nWARNING beware\n" * 2


def test_records_of_threads_arrive_whole(run, mode):
    body = """
    logging.getLogger().addHandler(kept)
    f('threads')
    assert sorted(r.getMessage() for r in records) == [f'thread {n}' for n in range(8)]
    assert sorted(r.threadName for r in records) == [f'own-{n}' for n in range(8)]
    """
    run(TASK, body, mode)


def test_what_is_logged_after_the_result_was_sent_arrives_as_well(run, mode):
    tasks = """
    import atexit, logging, warnings

    def at_the_end():
        logging.warning('told at the end')
        warnings.warn('warned at the end')

    @bandsaw.task
    def f():
        atexit.register(at_the_end)
    """
    body = """
    logging.basicConfig(format='%(levelname)s %(message)s')
    f()
    """
    said = run(tasks, body, mode).stderr
    assert said.count("WARNING told at the end") == said.count("Warning: warned at the end") == 1


def test_what_a_process_logs_that_ends_for_want_of_work_arrives_with_the_next_call(run):
    tasks = """
    import atexit, logging

    @bandsaw.task
    def f():
        atexit.register(logging.warning, f'{os.getpid()} ends')
        return os.getpid()
    """
    body = """
    records = []
    logging.getLogger().addFilter(lambda record: records.append(record.getMessage()))
    first = f()
    try:
        while True:
            os.kill(first, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        pass
    assert f() != first
    assert records == [f'{first} ends']
    """
    run(tasks, body, "workers=1, idle_timeout=0.1")


def test_a_record_that_cannot_be_formatted_does_no_harm(run, mode):
    body = "logging.getLogger().addHandler(kept)\nf('unformattable')\nf()\n"
    body += "assert [r.getMessage() for r in records] == ['after', 'beware']"
    done = run(TASK, body, mode)
    assert "Logging error" in done.stderr


def test_a_record_that_no_message_has_room_for_is_cut(run):
    tasks = (
        TASK
        + """
@bandsaw.task
def long():
    log.warning('\\u4e2d' * 12_000_000, extra={'more': 1})
    log.warning('after')
"""
    )
    body = """
    logging.getLogger('task').addHandler(kept)
    long()
    first, last = records
    assert first.getMessage().startswith('\u4e2d\u4e2d')
    assert first.getMessage().endswith('... (12000000 characters)')
    assert last.getMessage() == 'after'
    """
    run(tasks, body)


def test_many_records_arrive_in_order(run, mode):
    body = """
    logging.getLogger().addHandler(kept)
    f('many')
    assert [int(r.getMessage().split()[0]) for r in records] == list(range(2000))
    """
    run(TASK, body, mode)


def test_records_arrive_while_the_task_runs(run, mode):
    tasks = """
    import logging

    @bandsaw.task
    def f(gate):
        logging.getLogger('x').warning('now')
        while not os.path.exists(gate):
            time.sleep(0.005)
        os.unlink(gate)
        return 1
    """
    body = """
    class Opening(logging.Handler):
        def emit(self, record):
            open('gate', 'x').close()

    logging.getLogger().addHandler(Opening())
    assert f(os.path.abspath('gate')) == f(os.path.abspath('gate')) == 1
    """
    run(tasks, body, mode)


def test_an_error_of_a_handler_of_the_caller_ends_the_call_and_is_its_cause(run, mode):
    body = """
    class Failing(logging.Handler):
        def emit(self, record):
            raise KeyError('mine')

    failing = Failing()
    logging.getLogger().addHandler(failing)
    try:
        f()
    except KeyError as error:
        assert error.args == ('mine',)
    else:
        raise AssertionError
    logging.getLogger().removeHandler(failing)
    assert f()
    """
    run(TASK, body, mode)


def test_records_of_nested_calls_come_through_once(run, mode):
    tasks = TASK + "\n@bandsaw.task\ndef outer():\n    f()\n"
    body = """
    logging.getLogger().addHandler(kept)
    outer()
    assert [r.getMessage() for r in records] == ['beware']
    assert records[0].bandsaw_task in ('workflow.f', 'workflow.outer')
    """
    run(tasks, body, mode)


@pytest.mark.parametrize("chain", ["default", "kept"])
def test_a_logger_of_a_class_of_its_own_is_made_by_its_module(project, chain):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice())
        configuration.add_advice_chain(SubprocessAdvice(workers=1), name="kept")
        """,
    )
    own = """
        import logging

        class Own(logging.getLoggerClass()):
            def own(self):
                return self.level

        before = logging.getLoggerClass()
        logging.setLoggerClass(Own)
        log = logging.getLogger(__name__)
        logging.setLoggerClass(before)
        log.own()
        """
    project.write("early.py", own)
    project.write("late.py", own)
    project.write(
        "flow.py",
        f"""
        import logging
        import bandsaw, early

        @bandsaw.task(chain="{chain}")
        def levels():
            import late
            return early.log.own(), late.log.own(), logging.getLogger("other").level

        if __name__ == "__main__":
            import late
            for level in (logging.INFO, logging.ERROR, logging.NOTSET):
                for log in (early.log, late.log, logging.getLogger("other")):
                    log.setLevel(level)
                assert levels() == (level, level, level), (level, levels())
        """,
    )
    project.run("flow.py")
