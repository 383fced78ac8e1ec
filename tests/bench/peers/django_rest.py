"""Django REST framework and djangorestframework-api-key on SQLite: one record by id, for callers with a key.

It is written as their tutorials have it, but that nothing is installed in Django that this does not need, and that the
connection to the database stays open. `python django_rest.py` makes the database from record.json in BENCH_FOLDER, and
prints a key.
"""

# ruff: noqa: E402 (Django lets its models be imported only when it is set up)

import json
import os
from pathlib import Path

import django
from django.conf import settings

FOLDER = Path(os.environ["BENCH_FOLDER"])
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "django.db", "CONN_MAX_AGE": None}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["rest_framework", "rest_framework_api_key"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework_api_key.permissions.HasAPIKey"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="nothing is signed with it",
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.urls import path
from rest_framework import generics, serializers
from rest_framework_api_key.models import APIKey


class Record(models.Model):
    id = models.CharField(primary_key=True, max_length=100)
    schemaId = models.CharField(max_length=100)
    lifecycleStateId = models.CharField(max_length=100, null=True)
    createdAt = models.CharField(max_length=30)
    updatedAt = models.CharField(max_length=30)
    createdBy = models.CharField(max_length=100)
    updatedBy = models.CharField(max_length=100)
    values = models.JSONField()

    class Meta:
        app_label = "bench"


class RecordSerializer(serializers.ModelSerializer):
    class Meta:
        model = Record
        fields = "__all__"


class RecordView(generics.RetrieveAPIView):
    queryset = Record.objects.all()
    serializer_class = RecordSerializer


urlpatterns = [path("records/<str:pk>", RecordView.as_view())]
application = get_wsgi_application()


def make_database():
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Record)
    Record.objects.create(**json.loads((FOLDER / "record.json").read_text(encoding="utf-8")))
    return APIKey.objects.create_key(name="bench")[1]


if __name__ == "__main__":
    print(make_database())
