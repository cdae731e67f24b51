"""Runs the quick start's workflow over SSH, on a server that it starts for the purpose.

python run.py [PACKAGE ...]
"""

import os
import sys
from pathlib import Path

import sshd

# The same workflow.py, unchanged. The configuration beside this script is found first.
sys.path.append(str(Path(__file__).resolve().parent.parent / "quickstart"))

PACKAGES = ("email", "json", "logging", "unittest")


def main(*packages):
    """Starts the server and runs the workflow for some packages."""
    with sshd.Server() as server:
        os.environ["EXAMPLE_SSH_PORT"] = str(server.port)
        os.environ["EXAMPLE_SSH_KEY"] = str(server.key_file)
        os.environ["EXAMPLE_SSH_KNOWN_HOSTS"] = str(server.known_hosts)

        import workflow  # reads the configuration, and so needs the variables

        workflow.main(*packages)
        print(f"sshd on port {server.port} has let in {server.accepted()} logins")


if __name__ == "__main__":
    try:
        main(*(sys.argv[1:] or PACKAGES))
    except sshd.NotInstalledError as error:
        sys.exit(f"This example needs an SSH server: {error}")
