import os
import re
import sys

import pytest

import bandsaw
from bandsaw.config import (
    CONFIGURATION_MODULE_DEFAULT,
    CONFIGURATION_MODULE_ENV_VARIABLE,
    get_configuration,
)
from bandsaw.errors import (
    ConfigurationMissingError,
    ConfigurationNotFoundError,
    ConfigurationTypeError,
    InvalidValueError,
    UnknownChainError,
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported for the time of the test."""
    names = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        sys.modules.pop(name, None)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_a_new_configuration_has_an_empty_chain_and_a_pickle_serializer():
    configuration = bandsaw.Configuration()
    assert configuration.get_advice_chain("default") == ()
    assert isinstance(configuration.serializer, bandsaw.PickleSerializer)
    assert list(configuration.extensions) == []
    assert list(configuration.distribution_modules) == []
    assert configuration.module_name == __name__


def test_everything_that_adds_or_sets_returns_the_configuration():
    configuration = bandsaw.Configuration()
    one, other = bandsaw.Advice(), bandsaw.Advice()
    extension, serializer = bandsaw.Extension(), bandsaw.JsonSerializer()
    assert configuration.add_advice_chain(one, other, name="chain") is configuration
    assert configuration.get_advice_chain("chain") == (one, other)
    assert configuration.add_extension(extension) is configuration
    assert list(configuration.extensions) == [extension]
    assert configuration.set_serializer(serializer) is configuration
    assert configuration.serializer is serializer
    assert configuration.add_modules_for_distribution("a", "b.c") is configuration
    assert configuration.add_modules_for_distribution("a") is configuration
    assert list(configuration.distribution_modules) == ["a", "b.c"]


def test_a_later_chain_replaces_an_earlier_one():
    configuration = bandsaw.Configuration()
    one, other = bandsaw.Advice(), bandsaw.Advice()
    configuration.add_advice_chain(one).add_advice_chain(other)
    assert configuration.get_advice_chain("default") == (other,)


def test_an_unknown_chain_is_a_key_error_and_a_value_error_that_lists_the_known_ones():
    configuration = bandsaw.Configuration().add_advice_chain(name="mine")
    with pytest.raises(UnknownChainError, match="Unknown advice chain other.*default, mine") as e:
        configuration.get_advice_chain("other")
    assert isinstance(e.value, KeyError)
    assert isinstance(e.value, ValueError)


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.add_advice_chain(bandsaw.Advice),
        lambda c: c.add_advice_chain("advice"),
        lambda c: c.add_advice_chain([bandsaw.Advice()]),
        lambda c: c.add_extension(bandsaw.Extension),
        lambda c: c.set_serializer(bandsaw.JsonSerializer),
        lambda c: c.set_serializer("json"),
        lambda c: c.set_serializer(None),
        lambda c: c.add_modules_for_distribution(sys),
    ],
)
def test_what_can_be_no_part_is_refused(use):
    with pytest.raises(ConfigurationTypeError):
        use(bandsaw.Configuration())


@pytest.mark.parametrize(
    ("use", "otherwise"),
    [
        (lambda c: c.add_advice_chain(bandsaw.Extension()), "added by add_extension"),
        (lambda c: c.add_advice_chain(object()), "in place of an advice"),
        (lambda c: c.add_advice_chain(bandsaw.Advice), r"of the class: Advice\(\.\.\.\)\."),
        (lambda c: c.add_advice_chain(int), r"after\(session\)\.$"),
        (lambda c: c.add_advice_chain([bandsaw.Advice()]), "by itself, not in a list"),
        (lambda c: c.add_extension(bandsaw.Advice()), "added by add_advice_chain"),
        (lambda c: c.add_extension(object()), "in place of an extension"),
    ],
)
def test_a_part_that_is_added_as_another_one_is_refused_with_the_way_out(use, otherwise):
    with pytest.raises(ConfigurationTypeError, match=otherwise):
        use(bandsaw.Configuration())


def test_configurations_are_equal_by_their_module(configure):
    one, other = configure(), configure()
    assert one != other
    other.module_name = one.module_name
    assert one == other
    assert hash(one) == hash(other)
    assert one != one.module_name


def test_the_module_is_imported_once_and_extensions_are_told_once(module):
    name = module(
        "my_configuration",
        "import bandsaw\n"
        "class Telling(bandsaw.Extension):\n"
        "    told = []\n"
        "    def on_init(self, configuration):\n"
        "        self.told.append(configuration)\n"
        "configuration = bandsaw.Configuration().add_extension(Telling())\n",
    )
    configuration = get_configuration(name)
    assert configuration.module_name == name
    assert get_configuration(name) is configuration
    assert configuration.extensions[0].told == [configuration]


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, CONFIGURATION_MODULE_DEFAULT),
        ({"BANDSAW_CONFIG": "second"}, "second"),
        ({"BANDSAW_CONFIG": "second", CONFIGURATION_MODULE_ENV_VARIABLE: "first"}, "first"),
    ],
)
def test_the_default_module_comes_from_the_environment(module, monkeypatch, variables, name):
    for variable in ("BANDSAW_CONFIG", CONFIGURATION_MODULE_ENV_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    module(name, "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    assert get_configuration().module_name == name


def test_a_missing_module_says_where_it_was_looked_for_and_how_one_looks(monkeypatch, tmp_path):
    monkeypatch.setenv("BANDSAW_CONFIG_MODULE", "not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationNotFoundError) as caught:
        get_configuration()
    message = str(caught.value)
    assert isinstance(caught.value, ModuleNotFoundError)
    assert message.startswith("No module named 'not_there'")
    assert caught.value.name == "not_there"
    for part in (str(tmp_path), "BANDSAW_CONFIG_MODULE", "configuration = bandsaw.Configuration()"):
        assert part in message


def test_a_module_that_lies_in_the_working_directory_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "lies_here.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    with pytest.raises(ConfigurationNotFoundError, match="python -m folder.script") as caught:
        get_configuration("lies_here")
    assert f"in the working directory, {os.getcwd()}," in str(caught.value)
    with pytest.raises(ConfigurationNotFoundError) as caught:
        get_configuration("lies_elsewhere")
    assert "working directory" not in str(caught.value)
    assert "(named by config= or --config)" in str(caught.value)
    assert "It lies beside the script" in str(caught.value)


def test_what_the_module_itself_cannot_import_is_its_own_error(module):
    name = module("failing_configuration", "import no_such_module_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere") as caught:
        get_configuration(name)
    assert not isinstance(caught.value, bandsaw.errors.BandsawError)


def test_the_error_of_a_module_with_many_names_lists_some():
    with pytest.raises(
        ConfigurationMissingError, match=r"It has: .*, [A-Za-z_]+ and \d+ more\."
    ) as e:
        get_configuration("os")
    assert len(str(e.value)) < 1000


def test_a_module_without_the_variable_says_what_it_has(module):
    name = module("other_configuration", "config = 1\n")
    with pytest.raises(ConfigurationMissingError, match="It has: config") as caught:
        get_configuration(name)
    assert isinstance(caught.value, LookupError)
    assert "bandsaw.Configuration()" in str(caught.value)


def test_a_folder_in_place_of_the_module_is_named(tmp_path, monkeypatch):
    (tmp_path / "folder_configuration").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationMissingError, match="the folder .*folder_configuration.* has"):
        get_configuration("folder_configuration")


@pytest.mark.parametrize("value", ["{}", "None"])
def test_a_variable_of_another_type_is_a_type_error(module, value):
    name = module("typed_configuration", f"configuration = {value}\n")
    with pytest.raises(TypeError, match="is of type (dict|NoneType)") as caught:
        get_configuration(name)
    assert isinstance(caught.value, ConfigurationTypeError)


def test_an_import_cycle_is_explained(module):
    module("cyclic_tasks", "import bandsaw\n@bandsaw.task(config='cyclic')\ndef f(): pass\n")
    name = module(
        "cyclic", "import bandsaw\nimport cyclic_tasks\nconfiguration = bandsaw.Configuration()\n"
    )
    with pytest.raises(ConfigurationMissingError, match="still being imported"):
        get_configuration(name)


def test_a_failing_extension_is_asked_again(module):
    name = module(
        "failing_extension",
        "import bandsaw\n"
        "class Failing(bandsaw.Extension):\n"
        "    asked = 0\n"
        "    def on_init(self, configuration):\n"
        "        Failing.asked += 1\n"
        "        1 / (Failing.asked - 1)\n"
        "configuration = bandsaw.Configuration().add_extension(Failing())\n",
    )
    with pytest.raises(ZeroDivisionError):
        get_configuration(name)
    assert get_configuration(name).extensions[0].asked == 2


@pytest.mark.parametrize("name", ["", ".relative", 3])
def test_a_name_that_can_be_none_is_refused(name):
    with pytest.raises(ConfigurationTypeError):
        get_configuration(name)


def test_a_configuration_can_be_subclassed(module):
    name = module(
        "own_kind",
        "import bandsaw\nfrom test_config_base import Own\nconfiguration = Own()\n",
    )
    module(
        "test_config_base",
        "import bandsaw\n"
        "class Own(bandsaw.Configuration):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first_name = self.module_name\n"
        "    def get_advice_chain(self, name):\n"
        "        return (bandsaw.Advice(),)\n",
    )
    configuration = get_configuration(name)
    assert configuration.first_name == name
    assert bandsaw.task(config=name, chain="any")(_identity)(3) == 3


def _identity(x):
    return x


@pytest.mark.parametrize("name", ["xxhash", "blake3"])
def test_the_hash_of_large_arguments_is_named_in_the_configuration(name):
    configuration = bandsaw.Configuration()
    assert configuration.bulk_hash is None
    assert configuration.set_bulk_hash(name) is configuration
    assert configuration.bulk_hash == name
    assert configuration.set_bulk_hash(None).bulk_hash is None


@pytest.mark.parametrize("name", ["md5", "", 3, ["xxhash"]])
def test_an_unknown_hash_is_refused_at_once(name):
    configuration = bandsaw.Configuration()
    with pytest.raises(InvalidValueError, match=f"{re.escape(repr(name))}.*'xxhash'"):
        configuration.set_bulk_hash(name)
    assert configuration.bulk_hash is None


@pytest.mark.parametrize("name", ["xxhash", "blake3"])
def test_a_hash_whose_package_is_not_installed_is_refused_at_once(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidValueError, match=f"install the package '{name}'"):
        bandsaw.Configuration().set_bulk_hash(name)
