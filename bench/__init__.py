"""What is measured against what, side by side. Modules that use one another are run as `python -m bench.<name>`."""
