"""The commands of the `avcap` program; each is a typed function."""
