"""Evaluators: submit parameters, gather what a function made of them, on any executor."""

from hpdist.evaluator.arguments import MaximumJobsReached
from hpdist.evaluator.base import Evaluator
from hpdist.evaluator.job import Job
from hpdist.evaluator.kinds import (
    ClusterEvaluator,
    DaskEvaluator,
    LokyEvaluator,
    MPICommEvaluator,
    ProcessPoolEvaluator,
    RayEvaluator,
    SerialEvaluator,
    ThreadPoolEvaluator,
)
from hpdist.evaluator.storage import JournalStorage, MemoryStorage, SharedMemoryStorage, Storage
from hpdist.profiling import profile

__all__ = [
    "ClusterEvaluator",
    "DaskEvaluator",
    "Evaluator",
    "Job",
    "JournalStorage",
    "LokyEvaluator",
    "MPICommEvaluator",
    "MaximumJobsReached",
    "MemoryStorage",
    "ProcessPoolEvaluator",
    "RayEvaluator",
    "SerialEvaluator",
    "SharedMemoryStorage",
    "Storage",
    "ThreadPoolEvaluator",
    "profile",
]
