"""Runs as `python -I -S .../sampan/cli/__main__.py`: without `site`, so the package is found through this
file's path.
"""

import sys

if "sampan" not in sys.modules:
    sys.path.insert(0, __file__.removesuffix("/sampan/cli/__main__.py"))

from sampan.cli.main import main

main(sys.argv[1:])
