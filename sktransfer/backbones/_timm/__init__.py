"""Networks of timm, as blocks."""
