"""A session as data: the place in the chain, and the members of its file or message.

session ── packing ──► headers, members ──► zipped: a file
                                          └─► workers: messages on a channel
telling: what extensions are told of a call
"""
