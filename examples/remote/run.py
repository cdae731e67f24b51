"""Counts primes on three machines at once, and has one of them break down on the way.

The machines are SSH servers that it starts for the purpose.
"""

import contextlib
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import sshd

LIMIT, STEP = 1_000_000, 50_000
PRIMES = 78_498  # so many there are below the limit
FACTS = ("port", "key_file", "known_hosts", "scratch")


def main(servers):
    """Counts, and says where each part was counted."""
    facts = {
        name: {fact: getattr(server, fact) for fact in FACTS} for name, server in servers.items()
    }
    os.environ["EXAMPLE_SERVERS"] = json.dumps(facts, default=str)

    import primes  # reads the configuration, and so needs the variable

    total, machines = 0, []
    with ThreadPoolExecutor(6) as threads:
        parts = {
            threads.submit(primes.count, start, start + STEP): start
            for start in range(0, LIMIT, STEP)
        }
        for part in as_completed(parts):
            found, machine = part.result()
            total += found
            machines.append(machine)
            print(f"{found:5} primes from {parts[part]:7,} on {machine}", flush=True)
            if machine == "b" and machines.count("b") == 1:
                print("      machine b breaks down", flush=True)
                servers["b"].kill()
    shares = ", ".join(f"{machines.count(name)} on {name}" for name in servers)
    print(f"{len(machines)} of {len(parts)} parts counted: {shares}")
    print(f"{total:,} primes below {LIMIT:,}: {'right' if total == PRIMES else 'wrong'}")


if __name__ == "__main__":
    # What bandsaw says when it runs a task again, as far as it fits on a line.
    logging.basicConfig(format="      %(message).102s ...", stream=sys.stdout)
    try:
        with contextlib.ExitStack() as stack:
            main({name: stack.enter_context(sshd.Server()) for name in "abc"})
    except sshd.NotInstalledError as error:
        sys.exit(f"This example needs an SSH server: {error}")
