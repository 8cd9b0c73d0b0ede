"""For tests of your own optimizers, iteration generators and executors, and for simulations.

`OptimizerContract` (`optimizers`), `IterGeneratorContract` (`iter_generators`) and
`ExecutorContract` (`executors`) are test classes to inherit from. `simulate` runs a whole search in
simulated time; `simulated_disk` is a disk that crashes. ``docs/testing.rst`` has examples.
"""
