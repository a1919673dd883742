"""``python -m featcodec.commands.plf``: the ``plf`` command."""

import sys

from featcodec.commands.plf import main

if __name__ == "__main__":
    sys.exit(main())
