"""Offline rules, one file a topic. ``rules.RULES`` lists them, ``run.check`` runs them."""
