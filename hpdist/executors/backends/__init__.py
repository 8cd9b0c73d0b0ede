"""Executors that run attempts in another system: Dask, Ray and MPI.

Imports the core and `executors.slot_executor`. Open `external_executor` first. Each system is one
module that provides slots; `external_runner` submits an order to a slot and notices that a slot
died, and the `agent` in the system's process carries it out in a child process of ours.
"""
