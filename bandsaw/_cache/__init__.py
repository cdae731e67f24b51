"""The files of a cache.

a call ── computation_locks ──► entry: whole or none ──► bounds: what goes again
          record: what the ids were made of ──┘                compare: which entry is near
owned_files: opened only where they are ours
"""
