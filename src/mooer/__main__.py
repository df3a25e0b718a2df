"""`python -m mooer`: the command line, where the `mooer` command is not on the path."""

import sys

from mooer.cli.main import main

sys.exit(main())
