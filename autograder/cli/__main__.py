"""`python -m autograder.cli`, for where the command itself is not on the PATH."""

import sys

from autograder.cli import main

sys.exit(main())
