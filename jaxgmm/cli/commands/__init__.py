"""The commands, a file each: options in, results to stdout or to files."""
