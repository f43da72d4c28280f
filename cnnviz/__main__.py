"""``python -m cnnviz`` is the command line."""

import sys

from cnnviz.cli import main

sys.exit(main())
