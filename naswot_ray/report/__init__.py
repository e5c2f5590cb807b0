"""`naswot-ray report`: one HTML page that shows a dataset, with everything it needs inside."""
