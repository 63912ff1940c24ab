"""Cells: one column of images or texts, read as they come."""
