"""What several problems share; nothing here knows a problem."""
