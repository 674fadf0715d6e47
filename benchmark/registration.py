"""Register all modules by importing them: the `custom_imports` of a composed config."""

from benchmark import backend

backend.activate()

import benchmark.engine.registration  # noqa: E402
import benchmark.inputs.registration  # noqa: E402
import benchmark.models  # noqa: E402, F401
