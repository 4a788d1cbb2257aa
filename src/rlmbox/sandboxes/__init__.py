"""The sandboxes that cells run in."""
