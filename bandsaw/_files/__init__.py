"""Contents of files and folders on their way: to other processes, into caches, and back.

`destinations` knows where they may arrive. `carrying` and `keeping` find each `bandsaw.File` in a
value that crosses, or that is kept.
"""
