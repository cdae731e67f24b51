"""What reading data must not do, seen by the interpreter's own audit events."""

import os
import sys

FORBIDDEN = (
    "exec", "compile", "code.__new__", "marshal.", "subprocess.", "os.system", "os.exec",
    "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
    "os.chmod", "os.link", "os.symlink", "os.truncate", "os.kill", "os.putenv", "os.unsetenv",
    "shutil.", "socket.", "ctypes.", "tempfile.", "webbrowser.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

is_watching = False
seen = []


def watch(readable):
    """Adds the hook, which can never be removed.

    Args:
        readable: Folders of which files may be read.
    """
    folders = tuple(os.path.realpath(folder) + os.sep for folder in readable)

    def hook(event, arguments):
        if not is_watching:
            return
        if event == "import":
            # This event is raised for modules that are not loaded yet only. `tzdata` is where
            # zoneinfo itself looks for zones.
            if arguments[0].partition(".")[0] != "tzdata":
                note(event, arguments[0])
        elif event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (flags or 0) & _WRITING
            if writes or not (isinstance(path, str) and os.path.realpath(path).startswith(folders)):
                note(event, path, mode)
        elif event.startswith(FORBIDDEN) and not _is_named_tuple():
            note(event, *arguments)

    def note(*what):
        seen.append(repr(what)[:300])

    sys.addaudithook(hook)


def _is_named_tuple():
    # Python makes the classes of named tuples by code of its own, from names that it has checked.
    frame = sys._getframe(2)
    for _ in range(2):
        if frame.f_code.co_name == "namedtuple" and frame.f_globals["__name__"] == "collections":
            return True
        frame = frame.f_back
    return False
