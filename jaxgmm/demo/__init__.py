"""The demonstration: a photograph, many starts, and gradients beside EM."""
