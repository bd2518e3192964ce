"""The `midstream` command, as `python -m services.cli`."""

from services.cli.entry import main

if __name__ == "__main__":
    main()
