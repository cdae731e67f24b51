"""The configuration of the harness and the tests of failures over SSH.

The remotes are added by who calls: at the other end nobody needs them.
"""

import bandsaw
from bandsaw.advices.ssh import SshAdvice

own = SshAdvice()
warm = SshAdvice(workers=2)
configuration = bandsaw.Configuration().add_advice_chain(own).add_advice_chain(warm, name="warm")
