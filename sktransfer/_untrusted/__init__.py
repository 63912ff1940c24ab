"""Rules for what others wrote: records of networks, and URLs."""
