"""What the verbs of the `avcap` program do; each is a typed function."""
