"""Importing this module registers the loops, hooks and metrics of the engine."""

import benchmark.engine.evaluation
import benchmark.engine.hooks
import benchmark.engine.loop
import benchmark.engine.metric
import benchmark.engine.precision  # noqa: F401
