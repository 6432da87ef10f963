"""The console script, and `python -m clearctl`."""


def main() -> None:
    """Run the command line."""
    from clearctl.cli import app

    app()


if __name__ == "__main__":
    main()
