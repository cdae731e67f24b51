"""The boundary between processes: how a session goes to another one and comes back.

carrier ── near_fork_server, pool ─► child ─┐                             ┌── serving ── fork_server
                                            ├─ call: boundary, envelope, ─┤
ssh, executor: rooms of their own ──────────┘  frames                     └── process_main
repeat_calls: a call like an earlier one;  inheritance: what a process inherits from its caller
bulk_files: large data;  notices: what is said meanwhile;  by_files: where there are no channels
"""
