"""Modules that mmsegmentation lacks, registered in its MODELS: importing this package imports all of them.

The backend must be active (`import benchmark.registration` does both).
"""

from importlib import import_module
from pkgutil import walk_packages

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)
