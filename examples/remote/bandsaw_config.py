"""How the tasks of the quick start's workflow are run: over SSH.

On the remote machine this module is imported again, without the variables that `run.py` sets.
"""

import os
import sys

import bandsaw
from bandsaw.advices.ssh import Remote, SshAdvice

remote = Remote(
    host="127.0.0.1",
    port=int(os.environ.get("EXAMPLE_SSH_PORT", "22")),
    key_file=os.environ.get("EXAMPLE_SSH_KEY"),
    interpreter=bandsaw.Interpreter(executable=sys.executable),
    # The server's own key, instead of the list of known hosts in the user's ~/.ssh.
    options={"UserKnownHostsFile": os.environ.get("EXAMPLE_SSH_KNOWN_HOSTS", "none")},
)
over_ssh = SshAdvice().add_remote(remote)

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(over_ssh)
    .add_advice_chain(over_ssh, name="uncached")
    .add_modules_for_distribution("workflow")  # run.py imports the tasks from there
)
