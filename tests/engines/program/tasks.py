import dataclasses
import logging
import os
import pickle
import signal
import sys
import time

import bandsaw

logger = logging.getLogger("tasks")


@dataclasses.dataclass
class Point:
    x: int
    y: object


class OwnError(Exception):
    pass


@bandsaw.task
def same(value):
    return value


@bandsaw.task(executor={"dask": {"priority": 1}, "ray": {"num_cpus": 2}, "slurm": {"time": 5}})
def where():
    return os.getpid(), sys.version_info[:2]


@bandsaw.task
def beside():
    path = os.path.join(os.path.dirname(__file__), "beside.csv")
    with open(path) as file:
        return file.read(), path


@bandsaw.task
def fail(what):
    raise OwnError(what)


@bandsaw.task
def leave():
    sys.exit("gone")


@bandsaw.task
def say():
    print("said out")
    print("said err", file=sys.stderr)
    logger.warning("logged %s", 1)


@bandsaw.task(timeout=0.5)
def endless():
    time.sleep(600)


@bandsaw.task
def die(how):
    print("last words", file=sys.stderr, flush=True)
    os._exit(7) if how == "exit" else os.kill(os.getpid(), signal.SIGKILL)


@bandsaw.task
def nested(x):
    return same(x), where()[0], os.getpid(), list(same.map([1, 2]))


@bandsaw.task
def wait(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)


@bandsaw.task
def first_waits(path):
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) == 1:
        time.sleep(600)
    return os.path.getsize(path)


@bandsaw.task(chain="many")
def wait_there(path):
    wait.__wrapped__(path)


@bandsaw.task(chain="many")
def same_there(value):
    return value


ELSEWHERE = {"env_vars": {"TMPDIR": os.path.join(os.path.dirname(__file__), "elsewhere")}}


@bandsaw.task(executor={"ray": {"runtime_env": ELSEWHERE}})
def wait_elsewhere(path):
    wait.__wrapped__(path)


@bandsaw.task(chain="many", batch=3)
def dies_in_a_batch(x):
    if x == 5:
        os._exit(9)
    return x


@bandsaw.task(chain="many", batch=3, timeout=16)
def takes_a_third_of_its_time(x):
    # Much less than its time on a busy machine, too; three of them take longer.
    time.sleep(5.5)
    return x


class Block:
    """A large buffer, as an array has it."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Block, (pickle.PickleBuffer(self.data),)


@bandsaw.task
def size_of(block, x):
    return len(block.data), x


@bandsaw.task
def doubled(file, folder):
    with open(file, "rb") as data, open("result", "wb") as result:
        result.write(data.read() * 2)
    os.chmod("result", 0o700)
    return bandsaw.File("result", to="got/{name}"), sorted(os.listdir(folder))


@bandsaw.task(chain="kept")
def counted(numbers=[]):  # noqa: B006
    numbers.append(1)
    return os.getpid(), len(numbers)


@bandsaw.task(chain="kept")
def die_kept():
    os._exit(3)


@bandsaw.task(chain="retry")
def flaky():
    if bandsaw.get_attempt() < 3:
        os._exit(1)
    return bandsaw.get_attempt()


@bandsaw.task(executor={"colour": 1})
def unknown():
    return 1


@bandsaw.task(executor={"nobody": {}})
def unknown_engine():
    return 1
