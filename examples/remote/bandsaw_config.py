"""How the tasks are run: over SSH, on one of three machines.

Over there this module is imported again, without the variable that `run.py` sets.
"""

import json
import os
import sys

import bandsaw
from bandsaw.advices.ssh import Remote, SshAdvice

over_ssh = SshAdvice()
for name, server in json.loads(os.environ.get("EXAMPLE_SERVERS", "{}")).items():
    remote = Remote(
        host="127.0.0.1",
        port=server["port"],
        key_file=server["key_file"],
        interpreter=bandsaw.Interpreter(executable=sys.executable).set_environment(MACHINE=name),
        directory=server["scratch"],
        # The server's own key, instead of the list of known hosts in the user's ~/.ssh.
        options={"UserKnownHostsFile": server["known_hosts"]},
    )
    over_ssh.add_remote(remote, name)

configuration = bandsaw.Configuration().add_advice_chain(over_ssh)
