"""`python -m r1kit` is the command `r1kit`, for where the folder of commands is not on the PATH."""

from r1kit.cli import main

if __name__ == "__main__":
    main()
