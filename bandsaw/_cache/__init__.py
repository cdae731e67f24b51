"""The files of a cache.

a call ── locks: who computes ──► entry: whole or none ──► bounds: what goes again
          record: what the ids were made of ──┘                 compare: which entry is near
files: opened only where they are ours
"""
