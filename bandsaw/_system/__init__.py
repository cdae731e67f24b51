"""The ground: files, locks, buffers, processes. It uses `errors`, and no other room."""
