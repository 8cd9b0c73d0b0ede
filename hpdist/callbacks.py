"""What is told of the jobs of an evaluator; see `hpdist.evaluator.callbacks`."""

from hpdist.evaluator.callbacks import (
    Callback,
    CSVLoggerCallback,
    LoggerCallback,
    ProgressCallback,
    SearchEarlyStopping,
    TargetReached,
    TqdmCallback,
)

__all__ = [
    "CSVLoggerCallback",
    "Callback",
    "LoggerCallback",
    "ProgressCallback",
    "SearchEarlyStopping",
    "TargetReached",
    "TqdmCallback",
]
