"""Time of counting parameters and MACs: ours, fvcore's FlopCountAnalysis and mmengine's get_model_complexity_info.

The others get a network with weights, whose construction is not timed, and run it; ours builds it without weights and
computes nothing. Then the whole catalog in a new process. `python performance/complexity.py`
"""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable

import torch
from fvcore.nn import FlopCountAnalysis
from mmengine.analysis import get_model_complexity_info
from timing import hardware, interleaved

from benchmark.catalog import catalog
from benchmark.configs import compose
from benchmark.profiling import complexity
from benchmark.profiling.inference import Inference

NETWORK = "pspnet_r50-d8"
SIZE = (512, 1024)
CLASSES = 19
ROUNDS = 3

OURS = "segbench, from the config"
CATALOG = [sys.executable, "-m", "segbench", "profile", "--all", "--no-latency", "--size", "512x1024", "--json"]


def main() -> None:
    """Print two tables."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # messages of the others on every operator that they do not count
    whole = interleaved({"catalog": lambda: subprocess.run(CATALOG, check=True, capture_output=True)}, 1)["catalog"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    config = compose.model_config(NETWORK, classes=CLASSES)
    network, image = Inference(config, SIZE), torch.zeros(1, 3, *SIZE)
    blank, shape = Inference(config, SIZE).to("meta"), torch.empty(1, 3, *SIZE, device="meta")
    functions: dict[str, Callable[[], int]] = {
        OURS: lambda: complexity.tally(config, SIZE).macs,
        "segbench, from the network": lambda: complexity.count(blank, shape).macs,
        "fvcore": lambda: _fvcore(network, image),
        "mmengine": lambda: _mmengine(network),
    }
    seconds = interleaved({**functions}, ROUNDS)

    print(f"{NETWORK}, {SIZE[0]}x{SIZE[1]}. The others count normalisation and resizing, too.\n")
    print("| counter | CPU s | times ours | count (G) |\n|---|---:|---:|---:|")
    for name, function in functions.items():
        print(f"| {name} | {seconds[name]:.3f} | {seconds[name] / seconds[OURS]:.1f} | {function() / 1e9:.3f} |")
    print("\n| catalog, one process | CPU s | peak memory (MiB) |\n|---|---:|---:|")
    print(f"| {len(catalog.architectures())} architectures, including start-up | {whole:.1f} | {peak / 2**20:.0f} |")
    print(f"\n{hardware()}")


def _fvcore(network: Inference, image: torch.Tensor) -> int:
    with torch.no_grad():
        analysis = FlopCountAnalysis(network, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analysis.total())


def _mmengine(network: Inference) -> int:
    with torch.no_grad():
        found = get_model_complexity_info(network, (3, *SIZE), show_table=False, show_arch=False)
    return int(found["flops"])


if __name__ == "__main__":
    main()
