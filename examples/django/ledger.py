"""A ledger over HTTP with Django: ``gunicorn ledger:application``."""

from __future__ import annotations

import os
from uuid import UUID

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")


def put(_: HttpRequest, entry: UUID, amount: int) -> JsonResponse:
    """Add an entry; the same one again changes nothing, so that a client may repeat it."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO ledger VALUES (%s, %s) ON CONFLICT DO NOTHING", [entry, amount])
    return JsonResponse({"amount": amount})


def total(_: HttpRequest) -> JsonResponse:
    """Return the sum of all entries."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(amount), 0) FROM ledger")
        row = cursor.fetchone()
    return JsonResponse({"total": row[0]})


urlpatterns = [path("entries/<uuid:entry>/<int:amount>", put), path("total", total)]
application = get_wsgi_application()
