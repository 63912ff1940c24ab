"""How `sktransfer.persistence` saves: files, trusted types, networks."""
