"""Where the cache keeps rows: in memory, and in a folder that many share."""
