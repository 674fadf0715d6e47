"""Import the loops, hooks and metrics of the engine, which registers them."""

import benchmark.engine.evaluation
import benchmark.engine.hooks
import benchmark.engine.loop
import benchmark.engine.metric
import benchmark.engine.precision  # noqa: F401
