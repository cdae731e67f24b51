"""The workers of an executor: calls are submitted, and run in processes below a worker.

engine_call, engine_child ── engine, packs ══► engine_far ── engine_worker, engine_following,
engine_carrying, engine_files: files                         engine_processes ─► fork server
engine_bulk, engine_memory: large data;  engine_claims: whether a call has begun
in_worker: a call in the worker itself
"""
