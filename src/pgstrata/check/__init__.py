"""Offline rules, one file a topic. ``registry.RULES`` lists them, ``run.check`` runs them."""
