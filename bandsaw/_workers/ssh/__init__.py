"""Another machine over one connection, with a Python there and nothing else.

ssh_carrier ── ssh_connection, multiplexer ── ssh_start ═══ bootstrap ─► hub ── hub_fork_servers
                                                                          └── hub_processes
archive_sending, ssh_sending: what goes there once
"""
