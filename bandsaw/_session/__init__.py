"""A session as data: the place in the chain, and the members of its file or message.

session ── packing ──► headers, members ──► session_zip: a file
                                          └─► envelope: messages on a channel
telling: what extensions are told of a call
"""
