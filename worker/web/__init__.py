"""What listens on HTTP: webhooks of the payment provider, health."""
