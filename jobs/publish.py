"""`ray job submit --working-dir . -- python jobs/publish.py ...`: `naswot-ray publish`, with the same options."""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["publish", *sys.argv[1:]], prog_name="jobs/publish.py")
