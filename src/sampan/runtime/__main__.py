"""Entry of `sampan-runtime`: run as `python -I -S .../sampan/runtime/__main__.py`, so it finds the package by
itself.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    script = os.path.abspath(__file__)
    if not sys.flags.no_site:
        pass  # `python -m sampan.runtime`: the package was found already
    else:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(script))))

    from sampan.runtime.command_line import main

    sys.exit(main(script, sys.argv[1:]))
