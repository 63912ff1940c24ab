"""Networks of torchvision, as blocks."""
