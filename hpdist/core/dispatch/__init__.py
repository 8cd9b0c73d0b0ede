"""Who runs what, and how often it is tried: a pure state machine over jobs and workers.

It knows nothing of what a job is about; ports to what it drives (executor, job source, journal)
are declared here. Open `state` first, then `event_handler` (what follows when an attempt ends, or
a worker is lost or set aside), `transitions` (which state follows which), the tables `job_table`
and `worker_table`, `retry` (whether a failure is tried again) and `assignment`.
"""
