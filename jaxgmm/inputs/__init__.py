"""What users hand in, and the process it is computed in: arrays, arguments, dtypes, keys, compiled programs."""
