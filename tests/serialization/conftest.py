import io

import pytest

from bandsaw.serialization import JsonSerializer, PickleSerializer


@pytest.fixture(params=[JsonSerializer, PickleSerializer], scope="session")
def serializer(request):
    return request.param()


@pytest.fixture(scope="session")
def cross(serializer):
    """Writes a value with one of the serializers and reads it again."""

    def do(value, with_serializer=serializer):
        stream = io.BytesIO()
        with_serializer.serialize(value, stream)
        stream.seek(0)
        return with_serializer.deserialize(stream)

    return do
