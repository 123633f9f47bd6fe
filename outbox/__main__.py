"""`python -m outbox`: the command line, where the scripts folder is not on the path."""

from outbox.cli import main

if __name__ == "__main__":
    main()
