"""Code shared by several problems. Nothing here depends on a particular problem."""
