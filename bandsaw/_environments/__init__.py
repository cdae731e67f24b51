"""How an environment comes to be, and where it is kept.

requirements, python ── pythons ──► the base Python      there already?
                                         └─ digest ──► store ── yes ──► DIGEST/bin/python
                                                         └ no: lock, tools (uv, else venv and pip),
                                                           and a marker, which is written last
"""
