"""Creem, the merchant of record (creem-api.md): one client, one way to send money back, and what its webhooks say."""
