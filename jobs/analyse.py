"""`ray job submit --working-dir . -- python jobs/analyse.py ...`: `naswot-ray analyse`, with the same options."""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["analyse", *sys.argv[1:]], prog_name="jobs/analyse.py")
