"""The ground, which all rooms may use and which uses no other room.

files, home, file_locks, buffers          what lies on the disk and in memory
processes, output, lifeline               other processes: their end, their words, their parent
callers                                   what this process works on, and for which tasks
"""
