"""Entry point of `nexus-ops` and of `python -m nexus_ops`."""

from nexus_ops.cli.main import main

if __name__ == "__main__":
    main()
