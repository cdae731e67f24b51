"""The ground: files, home folders and buffers. All rooms may use it, and it uses only `errors`."""
