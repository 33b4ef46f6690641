"""`python -m hub` is `ttshub`."""

from hub.cli import main

if __name__ == "__main__":
    main()
