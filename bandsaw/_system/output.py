"""What other processes write: passed on to our own streams, and its end kept for messages."""

from __future__ import annotations

import codecs
import contextlib
import sys
import threading
from typing import IO, Optional

# What is kept of the output for an error's message: the stack of a crash, and what came before it.
TAIL_BYTES = 8192
_TAIL_LINES = 50
# After the process has ended, its children may hold its pipes open for ever. A machine that stood
# still meanwhile costs one of the looks, and nothing of what was written.
_DRAIN_SECONDS = 1.0
_DRAIN_LOOKS = 20


class Output:
    """What a process writes to one of its standard streams: passed on, and its last bytes kept.

    `stream_name`: `stdout` or `stderr`: the attribute of `sys` to pass it on to. `None` only keeps.
    """

    def __init__(self, stream_name: Optional[str]) -> None:
        self.kept = b""
        self._stream_name = stream_name
        self._decoder: Optional[codecs.IncrementalDecoder] = None

    def take(self, data: bytes) -> None:
        """Takes what was read, nothing at the end."""
        if self._decoder is None:
            if not data:
                return
            self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.kept = (self.kept + data)[-TAIL_BYTES:]
        if self._stream_name is not None:
            pass_on(self._decoder.decode(data, final=not data), self._stream_name)


class Tail:
    """The output that a process writes to a pipe, taken by a thread. See `Output`."""

    def __init__(self, pipe: IO[bytes], stream_name: Optional[str]) -> None:
        self._pipe = pipe
        self._output = Output(stream_name)
        self._thread = threading.Thread(target=self._pump, daemon=True, name="bandsaw-output")
        self._thread.start()

    def _pump(self) -> None:
        # `read1` also returns what the pipe has buffered already.
        read = getattr(self._pipe, "read1", self._pipe.read)
        with self._pipe:
            data = b"-"
            while data:
                data = read(65536)
                self._output.take(data)

    def finish(self, seconds: Optional[float] = _DRAIN_SECONDS) -> str:
        """Waits for the rest of the output. `seconds`: `None` for as long as it takes."""
        for _ in range(_DRAIN_LOOKS):
            self._thread.join(None if seconds is None else seconds / _DRAIN_LOOKS)
            if not self._thread.is_alive():
                break
        return last_lines(self._output.kept)

    def all(self) -> str:
        return self._output.kept.decode("utf-8", "replace")


def last_lines(data: bytes) -> str:
    return "\n".join(data.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])


def said(last: str) -> str:
    """Says at the end of an error what a process wrote last."""
    return f" The last lines that it wrote:\n{last}" if last else " It wrote nothing."


def last_words(words: str) -> str:
    """Says likewise what a command wrote that leads to another machine, if it wrote anything."""
    return f" Its last words:\n{words}" if words else ""


def pass_on(text: str, stream_name: str) -> None:
    """Writes text to a standard stream, wherever that leads now; it may be closed or missing."""
    stream = getattr(sys, stream_name, None)
    if not text or stream is None:
        return
    # It may be any object with a method `write`, as `print` takes it.
    with contextlib.suppress(Exception):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
