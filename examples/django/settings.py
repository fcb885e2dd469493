"""Django's settings, with the database of a pgstrata environment and Django's own pool."""

from __future__ import annotations

import os

from pgstrata import PGConnectionManager

manager = PGConnectionManager()

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "ledger"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": manager.config["connection_settings.dbname"],
        "OPTIONS": {
            **manager.keywords(),
            "pool": {
                name: manager.config[f"pool_settings.{name}"] for name in ("min_size", "max_size")
            },
        },
        "CONN_HEALTH_CHECKS": True,  # the pool tries a connection before it hands it out
        "ATOMIC_REQUESTS": True,
    },
}
