"""Offline rules, one file a topic. ``rules.RULES`` lists them, ``report.check`` runs them."""
