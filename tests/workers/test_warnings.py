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
