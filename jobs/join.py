"""`ray job submit --working-dir . -- python jobs/join.py ...`: `naswot-ray join`, with the same options."""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["join", *sys.argv[1:]], prog_name="jobs/join.py")
