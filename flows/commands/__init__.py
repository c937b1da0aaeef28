"""The commands, one module a kind; flows/cli.py gives them their names."""
