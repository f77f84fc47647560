"""Who asks: users, tokens, roles and the permissions that they give."""
