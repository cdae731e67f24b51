import functools
import inspect
import pickle
import sys
import traceback
import types

import pytest

import bandsaw
from bandsaw.errors import InvalidDecoratorError, UnknownChainError, UnsupportedTaskError
from bandsaw.result import Result


class Counting(bandsaw.Advice):
    def __init__(self):
        self.calls = 0

    def before(self, session):
        self.calls += 1
        session.proceed()


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def config(configure, counting):
    return configure(counting).add_advice_chain(name="empty").module_name


@pytest.fixture(params=["default", "empty"])
def task(request, config):
    return functools.partial(bandsaw.task, config=config, chain=request.param)


def doubled(x: int, y: int = 2) -> int:
    """Doubles, or multiplies."""
    return x * y


def test_every_form_of_the_decorator_works(monkeypatch, configure, counting):
    monkeypatch.setenv("BANDSAW_CONFIG_MODULE", configure(counting).module_name)
    assert bandsaw.task(doubled)(2) == 4
    assert bandsaw.task()(doubled)(2) == 4
    assert bandsaw.task(chain="default")(doubled)(2) == 4
    with_keyword = bandsaw.task(any="thing")(doubled)
    assert with_keyword(2) == 4
    assert with_keyword.bandsaw_task.kwargs == {"any": "thing"}
    assert counting.calls == 4


def test_the_decorated_function_keeps_what_describes_it(task):
    decorated = task()(doubled)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, name) == getattr(doubled, name)
    assert inspect.signature(decorated) == inspect.signature(doubled)
    assert decorated.__wrapped__ is doubled
    assert decorated.bandsaw_task.function is doubled
    assert isinstance(decorated.bandsaw_configuration, bandsaw.Configuration)


def test_arguments_arrive_as_they_were_passed(task):
    @task()
    def everything(*args, **kwargs):
        return args, kwargs

    assert everything(1, *[2], a=3, **{"b": 4}) == ((1, 2), {"a": 3, "b": 4})


def test_an_unknown_configuration_is_noticed_before_there_is_a_function():
    with pytest.raises(ModuleNotFoundError, match="No module named 'not_there'"):
        bandsaw.task(config="not_there")


def test_an_unknown_chain_is_noticed_before_there_is_a_function(config):
    with pytest.raises(ValueError, match="Unknown advice chain not_there") as caught:
        bandsaw.task(config=config, chain="not_there")
    assert isinstance(caught.value, UnknownChainError)


def test_more_than_one_positional_argument_is_an_error():
    with pytest.raises(RuntimeError, match="Invalid 'task' decorator.") as caught:
        bandsaw.task(doubled, "chain")
    assert isinstance(caught.value, InvalidDecoratorError)


async def async_generator():
    yield


def generator():
    yield


@pytest.mark.parametrize(
    ("obj", "instead"),
    [
        (async_generator, "coroutine function that consumes"),
        (generator, "Return a list"),
        (int, "Decorate a function"),
        (staticmethod(len), "Decorate a plain function"),
        (classmethod(int), "Decorate a function"),
        (functools.partial(doubled, 1), "Decorate a plain function"),
        (len, "Decorate a plain function"),
        (inspect.Signature().replace, "Decorate a plain function"),
        (property(doubled), "Write @task below @property"),
        ("text", "@task(chain='text')"),
        (None, "Decorate a plain function"),
    ],
)
def test_anything_but_a_plain_function_is_a_type_error_that_says_what_to_do(task, obj, instead):
    with pytest.raises(TypeError, match="Unsupported task object of type") as caught:
        task()(obj)
    assert isinstance(caught.value, UnsupportedTaskError)
    assert instead in str(caught.value)


def test_methods_static_methods_and_class_methods_can_be_tasks(task):
    class Thing:
        factor = 3

        @task()
        def method(self, x):
            return self.factor * x

        @staticmethod
        @task()
        def static(x):
            return x

        @classmethod
        @task()
        def of_class(cls, x):
            return cls.factor * x

        @task()
        @staticmethod
        def below_static(x):
            return x

        @task()
        @classmethod
        def below_class(cls, x):
            return cls.factor * x

    class Other(Thing):
        factor = 4

    assert Thing().method(2) == 6
    assert Thing.method(Thing(), 2) == 6
    assert Thing.static(2) == Thing().static(2) == 2
    assert Thing.of_class(2) == 6
    assert Thing.below_static(2) == Thing().below_static(2) == 2
    assert Thing.below_class(2) == Thing().below_class(2) == 6
    assert Other.below_class(2) == 8
    assert Thing().method.submit(2).result() == Thing.method.submit(Thing(), 2).result() == 6
    assert list(Other().method.map([1, 2])) == [4, 8]
    assert Thing.static.submit(2).result() == Thing().below_static.submit(2).result() == 2
    assert Other.below_class.submit(2).result() == Other().below_class.submit(2).result() == 8
    assert list(Other.below_class.map([1, 2])) == [4, 8]
    # It binds, or refuses.
    if sys.version_info < (3, 13):
        assert Other.of_class.submit(2).result() == 8
    else:
        with pytest.raises(InvalidDecoratorError, match="above @classmethod"):
            Other.of_class.submit(2)


def test_a_method_has_what_describes_it(task):
    class Thing:
        @task()
        def method(self, x: int) -> int:
            """Says what it does."""
            return x

    for method in (Thing.method, Thing().method):
        assert method.__name__ == "method" and method.__doc__ == "Says what it does."
        assert method.__qualname__.endswith("Thing.method") and method.__module__ == __name__
        assert method.bandsaw_task.function is method.__wrapped__
    assert list(inspect.signature(Thing.method).parameters) == ["self", "x"]
    assert list(inspect.signature(Thing().method).parameters) == ["x"]
    thing = Thing()
    assert thing.method == thing.method and thing.method != Thing().method
    assert task()(Thing.method)(thing, 3) == 3


def test_local_functions_and_lambdas_run_in_place(task):
    offset = 10

    @task()
    def local(x):
        return x + offset

    assert local(1) == 11
    assert task()(lambda x: x + offset)(2) == 12


def passing_on(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return [function(*args, **kwargs)]

    return wrapper


def test_other_decorators_stay_above_and_below(task):
    above = passing_on(task()(doubled))
    below = task()(passing_on(doubled))
    assert above(2) == below(2) == [4]
    assert above.bandsaw_task.function is doubled
    assert below.bandsaw_task.function(2) == [4]


def test_recursion_works(task):
    @task()
    def factorial(n):
        return 1 if n == 0 else n * factorial(n - 1)

    assert factorial(5) == 120


class Falsy(Exception):
    def __len__(self):
        return 0


@pytest.mark.parametrize("error", [Falsy("x"), ValueError("x"), KeyError(1)])
def test_the_exception_of_a_task_is_raised_itself(task, error):
    @task()
    def fails():
        raise error

    with pytest.raises(type(error)) as caught:
        fails()
    assert caught.value is error


def test_exceptions_that_end_the_process_are_not_caught(task):
    @task()
    def leaves():
        sys.exit(3)

    with pytest.raises(SystemExit):
        leaves()


def test_the_traceback_leads_to_the_task_once(task):
    @task()
    def fails():
        return 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        fails()
    lines = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert lines.count("fails") == 1
    assert lines[-1] == "fails"
    assert lines.count("execute") == 0


def test_an_exception_that_is_raised_again_does_not_collect_tracebacks(configure):
    result = Result(exception=ValueError("again"))

    class Concluding(bandsaw.Advice):
        def before(self, session):
            session.conclude(result)

    @bandsaw.task(config=configure(Concluding()).module_name)
    def never():
        raise AssertionError

    lengths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="again") as caught:
            never()
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(lengths)) == 1


def test_the_decorated_function_pickles_by_reference(monkeypatch, task):
    module = types.ModuleType("module_of_pickled")
    function = types.FunctionType(doubled.__code__, vars(module), "doubled")
    function.__module__ = "module_of_pickled"
    module.doubled = task()(function)
    monkeypatch.setitem(sys.modules, "module_of_pickled", module)
    assert pickle.loads(pickle.dumps(module.doubled)) is module.doubled


def test_a_chain_that_is_replaced_later_holds_for_tasks_defined_before(configure, counting):
    configuration = configure()
    decorated = bandsaw.task(config=configuration.module_name)(doubled)
    decorated(1)
    configuration.add_advice_chain(counting)
    decorated(1)
    assert counting.calls == 1
    configuration.add_advice_chain()
    decorated(1)
    assert counting.calls == 1


def test_an_extension_is_told_of_calls_with_an_empty_chain(configure):
    told = []

    class Telling(bandsaw.Extension):
        def on_before_advice(self, task, execution, context):
            told.append((str(task), execution.args, dict(context)))
            context["seen"] = True

        def on_after_advice(self, task, execution, context, result):
            told.append((dict(context), result))

    configuration = configure()
    decorated = bandsaw.task(config=configuration.module_name)(doubled)
    configuration.add_extension(Telling())
    assert decorated(4) == 8
    name = f"{doubled.__module__}.doubled"
    assert told == [(name, (4,), {}), ({"seen": True}, Result(8))]


@pytest.mark.parametrize(
    ("run_id", "advice"),
    [
        *(("nightly-7", ""), ("2026/11/29", ""), ("x" * 5000, "")),
        *(("../../x", advice) for advice in ("", "workers=1", "fork=False")),
    ],
    ids=len,
)
def test_a_script_sets_the_run_id_above_its_tasks(project, run_id, advice):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice({advice}))
        """,
    )
    project.write(
        "flow.py",
        f"""
        import os
        import bandsaw
        bandsaw.set_run_id({run_id!r})

        @bandsaw.task
        def made():
            with open("made.txt", "w") as stream:
                stream.write("text")
            return bandsaw.File("made.txt"), bandsaw.get_run_id()

        if __name__ == "__main__":
            file, run = made()
            assert run == {run_id!r}
            home = os.path.realpath(os.environ["BANDSAW_HOME"])
            assert os.path.realpath(file.path).startswith(home + os.sep), file
            runs = os.path.dirname(os.path.dirname(os.path.dirname(file.path)))
            assert os.path.basename(runs) == "runs"
        """,
    )
    home = project.folder / "home"
    project.run("flow.py", BANDSAW_HOME=str(home))


def test_defining_a_task_fixes_the_run_id(monkeypatch, config):
    monkeypatch.setattr("bandsaw.run._RUN_ID", None)
    bandsaw.task(config=config)(doubled)
    with pytest.raises(RuntimeError, match="Run ID was already set"):
        bandsaw.set_run_id("later")
