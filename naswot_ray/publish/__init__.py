"""From a dataset that runs filled to a folder that strangers can read, check and cite."""
