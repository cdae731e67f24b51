"""How the tasks of `workflow.py` are run: each chain moves them into its own environment."""

import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

# Each is made by the first task that needs it. NumPy 1.26 has wheels for these versions of Python.
environments = {
    "numpy-1": bandsaw.Environment(["numpy==1.26.*"], python=">=3.9,<3.13"),
    "numpy-2": bandsaw.Environment(["numpy==2.*"]),
}

configuration = bandsaw.Configuration()
for name, environment in environments.items():
    configuration.add_advice_chain(SubprocessAdvice(interpreter=environment), name=name)
