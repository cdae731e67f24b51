"""A session as data: the place in the chain, and the members of its file or message.

session ── moderator, values ──► headers, members ──► zipped: a file
                                                  └─► workers: messages on a channel
"""
