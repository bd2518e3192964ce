"""`python -m services.cli` is the `midstream` command."""

from services.cli.main import main

if __name__ == "__main__":
    main()
