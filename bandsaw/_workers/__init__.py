"""The boundary between processes: how a session goes to another one and comes back.

carrier ── near_fork_server, pool ─► child ─┐                             ┌── serving ── fork_server
                                            ├─ call: boundary, envelope, ─┤
ssh_carrier ── ssh_connection, multiplexer ─┘  frames                     └── hub ── bootstrap
repeat_calls: a call like an earlier one;  inheritance: what a process inherits from its caller
engine_*: the workers of an executor;  by_files: where there are no channels
"""
