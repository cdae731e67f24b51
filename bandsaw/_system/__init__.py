"""The ground: files, home folders, buffers, processes. It uses `errors`, and no other room."""
