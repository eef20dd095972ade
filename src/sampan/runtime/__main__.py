"""Entry of `sampan-runtime`.

Run as `python -I -S .../sampan/runtime/__main__.py` it finds its package by itself: `site` would cost 20 ms.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    script = os.path.abspath(__file__)
    if sys.flags.no_site:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(script))))

    from sampan.runtime.command_line import main

    sys.exit(main(script, sys.argv[1:]))
