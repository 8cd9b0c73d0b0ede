"""Search spaces: parameters, conditions, sampling, and encodings for models.

Imports `core.model`; only `configspace` imports ConfigSpace. Open `space` first.
"""
