"""Executors that hand attempts to another system: Dask, Ray and MPI.

Open `executor` first; each system is one module that starts an agent a slot, and each agent runs
attempts in a child process of ours.
"""
