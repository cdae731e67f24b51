"""How the tasks of `workflow.py` are run: each chain moves them into its own environment."""

import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice
from make_environments import python_of

configuration = bandsaw.Configuration()
for name in ("numpy-1", "numpy-2"):
    interpreter = bandsaw.Interpreter(executable=str(python_of(name)))
    configuration.add_advice_chain(SubprocessAdvice(interpreter=interpreter), name=name)

# This module needs it where a task runs, too.
configuration.add_modules_for_distribution("make_environments")
