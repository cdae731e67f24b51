"""The boundary between processes: how a session goes to another one and comes back."""
