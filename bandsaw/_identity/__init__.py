"""What ids are made of: the canonical form of values, and the code that a function reaches.

values ── objects, tables, bulk_data, reduced: forms ──► canonical ──► bytes, digest
code   ── sources ── scopes: uses of names ── names: what they stand for ──► reach ──► forms
arguments: the calls of one function;  watch: does an id still hold?;  parts: for explain
static_names, carried, compared: does another process have the same code?
"""
