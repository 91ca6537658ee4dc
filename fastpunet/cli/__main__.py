"""`python -m fastpunet.cli`, for machines without the console script, and for torchrun."""

import sys

from fastpunet.cli import main

sys.exit(main())
