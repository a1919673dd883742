"""``python -m featcodec.inspect`` is ``plf``."""

import sys

from featcodec.inspect.cli import main

if __name__ == "__main__":
    sys.exit(main())
