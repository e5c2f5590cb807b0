"""Downloads, verifies and unpacks the official files of benchmarks and image data sets."""
