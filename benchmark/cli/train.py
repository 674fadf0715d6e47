"""`segbench train ARCH -p PROTOCOL`: train one architecture and keep its weights; no result is stored."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from benchmark.cli import devices, options
from benchmark.cli.progress import shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options.architecture(parser)
    options.protocol(parser)
    options.models(parser, arguments=True)
    options.overrides(parser)
    options.dataset(parser)
    options.data(parser)
    devices.device(parser)
    devices.speed(parser)
    options.work_dir(parser)
    options.track(parser)
    options.training_seed(parser)
    parser.add_argument("--resume", action="store_true", help="resume a killed training from its last state")


def run(args: argparse.Namespace) -> int:
    """Train; print the paths of the weights."""
    with shown(1) as listener:
        from benchmark.catalog import catalog
        from benchmark.engine import device
        from benchmark.results import layout

        on = device.select(args.device)  # before mmengine is imported
        devices.check_speed(args, on)
        options.prepare_tracker(args)
        options.require_use_of_root(args)
        options.check_data(args)

        from benchmark.configs.compose import compose

        config = compose(
            args.architecture,
            args.protocol,
            seed=args.seed,
            root=args.root,
            deterministic=args.deterministic or on == "cpu",
            **options.chosen_overrides(args),
        )
        name, protocol = catalog.architecture(args.architecture).name, catalog.protocol_name(args.protocol)
        seed = "-".join([f"seed-{args.seed}", *config.protocol.overrides.get("data", "").split()])
        folder = args.work_dir / protocol / layout.folder(name) / seed

        from benchmark.engine.hooks import Diverged
        from benchmark.engine.session import Session
        from benchmark.engine.tracking import Tracking
        from benchmark.execution import feasibility, plan
        from benchmark.files.lock import exclusive

        feasibility.check(config, args.architecture)
        device.limit_threads(config.protocol.threads)
        title = f"{name} seed {args.seed}"
        phases = plan.phases(config, args.root, plan.guess(on))
        listener.start(title, [phase for phase in phases if phase.name != "test"])
        try:
            with exclusive(folder):
                session = Session(
                    config,
                    folder,
                    partial(listener.report, title),
                    resume=args.resume,
                    resident=args.resident,
                    compile=args.compile,
                    tracking=Tracking.of(args.track, args.work_dir, protocol, name, args.seed),
                )
                trained = session.train()
        except Diverged as error:
            print(f"segbench: {args.architecture} diverged: {error}", file=sys.stderr)
            return 1
    options.print_viewer(args)
    print(f"best on val: mIoU {max(miou for _, miou in trained.val_miou):.2f} % at iteration {trained.best_iteration}")
    print(f"weights: {trained.last} {trained.best}")
    return 0
