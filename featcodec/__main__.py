"""``python -m featcodec``: the ``featcodec`` command, for ``torchrun -m featcodec fit …``."""

import sys

from featcodec.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
