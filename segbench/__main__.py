"""`python -m segbench` and the command `segbench`."""

import sys


def main() -> int:
    """Run the command line; return its exit code, 2 where another package hides ours."""
    try:
        from benchmark.cli import main as command_line
    except ImportError as error:
        print(f"segbench: error: {error}", file=sys.stderr)
        return 2
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
