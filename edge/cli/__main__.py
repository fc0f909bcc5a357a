"""`python -m edge.cli` is `aigate`."""

import sys

from edge.cli import main

sys.exit(main())
