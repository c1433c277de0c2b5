"""What a run leaves to be read: results files, tables, and pictures of assignment maps."""
