"""Kinds of arguments of the command lines of benchmarks and faults."""

import argparse
import os
from pathlib import Path


def positive(kind):
    """Makes a kind of argument: a finite number above zero."""

    def convert(text):
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is no such number above zero")
        return number

    return convert


def new_file(text):
    """Is a kind of argument: a file that can be written, which is known before it has to be."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: it needs a folder to be in")
    return path
