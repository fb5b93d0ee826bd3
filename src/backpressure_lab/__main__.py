"""Entry point of ``./lab``."""

from backpressure_lab.cli.app import main

if __name__ == "__main__":
    main()
