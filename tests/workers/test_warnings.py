import pytest

pytestmark = pytest.mark.slow

TASK = """
import warnings

class Own(UserWarning):
    pass

@bandsaw.task
def f(what='own'):
    for _ in range(3):
        warnings.warn(Own('beware') if what == 'own' else what)
    return 1

@bandsaw.task
def old():
    warnings.warn('old', DeprecationWarning)
"""


def test_warnings_are_as_if_the_task_had_run_here(run, mode):
    body = """
    import pytest

    for _ in range(2):
        with warnings.catch_warnings(record=True) as seen:
            assert f() == 1
        warning, = seen
        assert warning.category is Own and str(warning.message) == 'beware', warning
        assert warning.filename == __file__
        with open(__file__) as file:
            assert 'warnings.warn(Own' in file.read().splitlines()[warning.lineno - 1]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        f()
        assert len(seen) == 3
    with pytest.warns(Own, match='beware'):
        f()
    for kind in UserWarning, Own:
        with warnings.catch_warnings():
            warnings.filterwarnings('error', category=kind)
            try:
                f()
            except Own as error:
                assert str(error) == 'beware'
            else:
                raise AssertionError('not raised')
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='bew')
        f()
    f('shown')
    f('shown')
    old()
    """
    shown = run(TASK, body, mode).stderr
    assert shown.count("UserWarning: shown") == 1, shown
    assert shown.count("DeprecationWarning: old") == 1, shown
    assert "Own: beware" not in shown


def test_warnings_come_through_two_processes_and_from_files_that_are_no_modules(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice

        own, kept = SubprocessAdvice(), SubprocessAdvice(workers=1)
        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(own, name="one")
            .add_advice_chain(own, kept, name="two")
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import warnings
        import bandsaw

        def warn(name):
            warnings.warn(f"{name} warns")
            warnings.warn(f"{name} is old", DeprecationWarning)
            warnings.warn_explicit(f"{name} has a line", UserWarning, "options.cfg", 3)

        @bandsaw.task(chain="one")
        def one():
            warn("one")

        @bandsaw.task(chain="two")
        def two():
            warn("two")

        if __name__ == "__main__":
            one()
            two()
            with warnings.catch_warnings():
                warnings.filterwarnings("error", module="__main__")
                for task in one, two:
                    try:
                        task()
                    except UserWarning as error:
                        print("raised", error)
        """,
    )
    done = project.run("workflow.py")
    assert done.stdout == "raised one warns\nraised two warns\n"
    for name in ("one", "two"):
        assert f"UserWarning: {name} warns" in done.stderr
        # As in the script itself, by the filter that Python begins with.
        assert f"DeprecationWarning: {name} is old" in done.stderr
        assert f"options.cfg:3: UserWarning: {name} has a line" in done.stderr


def test_a_warning_that_no_message_has_room_for_is_one_with_its_text(run, mode):
    tasks = """
    import warnings

    @bandsaw.task
    def f():
        warnings.warn('w' * 5_000_000, DeprecationWarning)
        return 1
    """
    body = """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        assert f() == 1
    (warning,) = found
    assert str(warning.message).endswith('w... (5000000 characters)')
    """
    run(tasks, body, mode)
