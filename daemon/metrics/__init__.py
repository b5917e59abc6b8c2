"""What Prometheus reads. Labels are bounded: names of loaded policies, and words of the program itself."""
