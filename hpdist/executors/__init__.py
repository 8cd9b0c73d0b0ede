"""Where attempts run: threads, child processes, loky, Dask, Ray and MPI.

Imports the core only. Open `registry` first: it makes the executor that a name stands for (the
names themselves are declared in `core.run.executor_names`). The port that all of them implement is
`core.dispatch.executor`.
"""
