"""No code of the user's runs to make an id, or to see whether it still holds."""

LOUD = """
    import collections, functools, types

    CALLS, armed = [], False
    NAMES = (
        "__getattribute__ __getattr__ __setattr__ __delattr__ __eq__ __ne__ __lt__ "
        "__hash__ __bool__ __len__ __iter__ __next__ __contains__ __getitem__ __setitem__ "
        "__missing__ __repr__ __str__ __format__ __bytes__ __reduce__ __reduce_ex__ "
        "__getstate__ __getnewargs__ __copy__ __call__ __deepcopy__ __dir__ __sizeof__ "
        "__index__ __int__ __float__ __complex__ __add__ __get__ __set__ "
        "__instancecheck__ __subclasscheck__ __enter__ __await__ __aiter__ __reversed__ "
        "__length_hint__ __fspath__ __buffer__ __array__ __abs__ __round__ __or__ keys "
        "items values get copy digest "
    ).split()

    bases_of = type.__dict__["__mro__"].__get__

    def recorder(name, base=None):
        def method(*args, **options):
            if armed:
                CALLS.append((str(base), name, *map(str, args[1:2])))
            known = getattr(base or bases_of(type(args[0]))[1], name, None)
            if known is not None:
                return known(*args, **options)
            if name == "__getattr__":
                raise AttributeError(args[1])
            return name == "__bool__"
        return method

    def told(name):
        return property(lambda self: CALLS.append((name, "property")))

    META = "__getattribute__ __getattr__ __eq__ __hash__ __bool__ __len__ __iter__ __contains__" \\
        " __getitem__ __repr__ __str__ __instancecheck__ __subclasscheck__ __call__ __dir__ __or__"
    Meta = type("Meta", (type,), {
        **{name: recorder(name, type) for name in META.split()},
        **{name: told(name) for name in ("__doc__", "__mro__", "__bases__")},
    })
    BASES = (
        object, dict, list, set, frozenset, tuple, str, int, float, complex, bytes, bytearray,
        collections.OrderedDict, collections.defaultdict, collections.deque, collections.Counter,
        Exception, property, functools.partial, staticmethod, types.ModuleType, type,
        types.SimpleNamespace,
    )
    OBJECTS, BODY = [], {n: recorder(n) for n in NAMES if n not in ("__next__", "__get__")}
    BODY["__class__"] = told("__class__")
    for base in BASES:
        made = (Meta if base is not type else type)(f"Loud{base.__name__}", (base,), BODY)
        arguments = {"partial": [len], "staticmethod": [len], "ModuleType": ["m"], "module": ["m"]}
        arguments["type"] = ["Made", (), {"a": 1}]
        OBJECTS += [made, made(*arguments.get(base.__name__, []))]

    class Descriptor:
        __get__, __set__, __delete__ = (recorder(n, object) for n in "abc")
    Asked = Meta("Asked", (), {"d": Descriptor(), "__module__": __name__, "x": 1})

    class Holder(metaclass=Meta):
        d = Descriptor()
        kept = {1: OBJECTS[0]}
        def method(self, x=OBJECTS[1]): return x
    text = next(each for each in OBJECTS if type.__call__(type, each).__name__ == "Loudstr")
    OBJECTS += [Asked, Holder, Holder(), {"__name__": text}]
"""
USES = """
    import bandsaw
    import loud
    @bandsaw.task
    def f(x):
        return x if x else (loud.OBJECTS, loud.Asked.d, loud.Holder.method, loud.Holder().missing)
"""
NAMED = """
@bandsaw.task
def f{0}(x):
    return x if x else (NAME{0}, NAME{0}.attribute, NAME{0}())
NAME{0} = loud.OBJECTS[{0}]
"""


def test_no_special_method_runs_for_an_id_or_a_hit(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.cache import CachingAdvice
        configuration = bandsaw.Configuration().add_advice_chain(CachingAdvice(".cache"))
        """,
    )
    project.write("loud.py", LOUD)
    project.write("uses.py", USES)
    text = "import bandsaw, loud\n" + "".join(NAMED.format(number) for number in range(50))
    project.write("named.py", text)
    done = project.run(
        "-W",
        "ignore",
        "-c",
        "import loud, uses, named\n"
        "tasks = [uses.f, *(getattr(named, f'f{number}') for number in range(0, 50, 3))]\n"
        "loud.armed = True\n"
        "ids = [task.bandsaw_task.task_id for task in tasks]\n"
        "assert tasks[0](1) == tasks[0](1) == tasks[1](1) == 1\n"
        "assert ids == [task.bandsaw_task.task_id for task in tasks]\n"
        "loud.armed = False\n"
        "assert len(loud.OBJECTS) == 50, len(loud.OBJECTS)\n"
        "print(loud.CALLS)\n"
        "loud.OBJECTS.append(1)\n"
        "assert tasks[0].bandsaw_task.task_id != ids[0]\n",
    )
    assert done.stdout == "[]\n"


def test_a_dict_that_a_class_makes_up_is_told_of_and_not_read(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()")
    project.write(
        "loud.py",
        """
        import types
        class Meta(type):
            __dict__ = property(lambda cls: 1 / 0)
        class Loud(metaclass=Meta):
            __dict__ = property(lambda self: 1 / 0)
        class Module(types.ModuleType):
            __dict__ = property(lambda self: 1 / 0)
        LOUD, MODULE = Loud(), Module("other")
        """,
    )
    project.write(
        "main.py",
        """
        import warnings
        import bandsaw, loud
        @bandsaw.task
        def f(): return loud.LOUD, loud.MODULE, loud.Loud
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert f.bandsaw_task.task_id == f.bandsaw_task.task_id
        print(*[warning.message for warning in caught])
        """,
    )
    told = project.run("main.py").stdout
    assert "loud.LOUD: a loud.Loud has a `__dict__` of its own, so that it is not read" in told
