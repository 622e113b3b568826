"""``python -m avatarkit``: the command line."""

from avatarkit.cli.commands import main

if __name__ == "__main__":
    main("python -m avatarkit")
