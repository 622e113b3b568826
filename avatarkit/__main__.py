"""``python -m avatarkit``: the command line."""

from avatarkit.cli.commands import app

if __name__ == "__main__":
    app(prog_name="python -m avatarkit")
