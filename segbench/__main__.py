"""`python -m segbench` and the command `segbench`."""

import sys


def main() -> int:
    """Run the command line; return its exit code."""
    from benchmark.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
