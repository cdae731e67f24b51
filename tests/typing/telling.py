"""What a type checker sees of extensions that keep and show what happens."""

from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import bandsaw
from bandsaw.progress import Progress
from bandsaw.recording import Recorder
from bandsaw.tracing import Tracing

configuration = bandsaw.Configuration()
configuration.add_extension(Recorder()).add_extension(Progress(seconds=2)).add_extension(Tracing())
assert_type(Recorder(Path("calls.sqlite"), values=False).file_of(configuration), str)
Recorder(3)  # type: ignore[arg-type]
Recorder(None, False)  # type: ignore  # its code is another one in older mypy
Progress(3)  # type: ignore  # its code is another one in older mypy

session = bandsaw.Session()
session.note(colour="green")
assert_type(session.facts, dict[str, Any])
