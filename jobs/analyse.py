"""`naswot-ray analyse` as a Ray job, with the same options.

Submit it with `ray job submit --working-dir . -- python jobs/analyse.py ...`.
"""

import sys

from naswot_ray.cli import app

if __name__ == "__main__":
    app(["analyse", *sys.argv[1:]], prog_name="jobs/analyse.py")
