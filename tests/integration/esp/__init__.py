"""Stand-ins for email service providers, one module each; see base.py."""
