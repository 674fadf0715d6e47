"""Importing this module makes everything buildable by name: what `custom_imports` of a composed config asks for."""

from benchmark import backend

backend.activate()

import benchmark.engine.registration  # noqa: E402
import benchmark.inputs.registration  # noqa: E402
import benchmark.models  # noqa: E402, F401
