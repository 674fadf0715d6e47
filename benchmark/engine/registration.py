"""Import the loops, hooks, metrics and visualization backends of the engine, which registers them."""

import benchmark.engine.evaluation
import benchmark.engine.hooks
import benchmark.engine.loop
import benchmark.engine.metric
import benchmark.engine.precision
import benchmark.engine.visualization  # noqa: F401
