"""Official files of benchmarks and image data sets: downloaded, verified, unpacked."""
