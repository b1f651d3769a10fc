"""`python -m clear_ir` is `clear-ir`."""

from clear_ir.cli import main

if __name__ == "__main__":
    main()
