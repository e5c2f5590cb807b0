"""`naswot-ray report` writes one HTML page that shows a dataset. The page contains everything it needs."""
