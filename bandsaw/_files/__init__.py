"""Contents of files and folders on their way: to other processes and machines, into caches, and back.

`trees` reads and writes them as a stream, `places` knows where they may arrive, and `carrying` finds
each `bandsaw.File` in a value that is being written or read.
"""
