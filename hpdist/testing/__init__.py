"""For tests of your own optimizers, iteration generators and executors, and for simulations.

``OptimizerContract``, ``IterGeneratorContract`` and ``ExecutorContract`` are classes to inherit
from; `simulate` runs a whole search in simulated time, on workers and disks that can fail.
"""
