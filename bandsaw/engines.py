"""Executors of engines, for `ExecutorAdvice`. Each imports its package when it is first used."""

from ._engines.dask import DaskExecutor
from ._engines.ray import RayExecutor
from ._engines.slurm import SlurmExecutor

__all__ = ["DaskExecutor", "RayExecutor", "SlurmExecutor"]
