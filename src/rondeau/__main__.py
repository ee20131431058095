"""`python -m rondeau`."""

from rondeau.cli import main

if __name__ == "__main__":
    main()
