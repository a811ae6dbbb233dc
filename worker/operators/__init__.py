"""Who may sign in: people, their passwords and their sessions."""
