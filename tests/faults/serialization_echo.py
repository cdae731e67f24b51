"""Another process for the tests: reads values and writes them again, until its input ends.

Started as `python -m tests.faults.serialization_echo json|pickle|signed`.
"""

import io
import struct
import sys

import bandsaw

from .serialization_values import KEY

_LENGTH = struct.Struct(">Q")
SERIALIZERS = {
    "json": bandsaw.JsonSerializer(),
    "pickle": bandsaw.PickleSerializer(),
    "signed": bandsaw.PickleSerializer(key=KEY),
}


def send(serializer, value, stream):
    """Writes a value with its length before it."""
    data = io.BytesIO()
    serializer.serialize(value, data)
    stream.write(_LENGTH.pack(data.tell()) + data.getvalue())
    stream.flush()


def receive(serializer, stream):
    """Reads what `send` wrote; raises `EOFError` where nothing follows."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return serializer.deserialize(io.BytesIO(stream.read(_LENGTH.unpack(head)[0])))


def main():
    """Echoes."""
    serializer = SERIALIZERS[sys.argv[1]]
    while True:
        try:
            value = receive(serializer, sys.stdin.buffer)
        except EOFError:
            return
        send(serializer, value, sys.stdout.buffer)


if __name__ == "__main__":
    main()
