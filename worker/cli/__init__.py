"""The `refunds` command: what operators and scripts use (contract.md, "`refunds` command line")."""
