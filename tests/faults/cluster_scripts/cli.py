"""``hpdist`` itself: ``cli.py ARGUMENTS``."""

from __future__ import annotations

import sys

from hpdist.cli.main import main

sys.exit(main(sys.argv[1:]))
