"""The boundary between processes: how a session goes to another one and comes back.

place ── near_template, pool ──► child ─┐                                ┌── far_end ── template
                                        ├── call: boundary, wire, frames ┤
remote ── connection, login, streams ───┘                                └── hub, bootstrap
again: a call like the last one;  state: what is inherited;  bulk: large data
notices: what is said meanwhile;  files: where there are no channels
"""
