"""The Custom Avatar API as Django REST framework serves it, for gunicorn.

The sandbox is this project's own idea of the API; here parsers, validation, throttles and pages are
the framework's. ``DATA`` names the folder of database and uploads, ``RATE`` a throttle such as
``5/hour``.
"""

# ruff: noqa: D106 - Meta is Django's own

from __future__ import annotations

import os
import uuid
from pathlib import Path
from types import SimpleNamespace

import django
from django.conf import settings

FOLDER = Path(os.environ["DATA"])
API_ID, API_KEY = "the-id", "the-key-of-the-test"
RATE = os.environ.get("RATE")

settings.configure(
    SECRET_KEY="of-a-test",  # noqa: S106 - signs nothing
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=["rest_framework"],
    MEDIA_ROOT=FOLDER / "media",
    MEDIA_URL="/media/",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "api.sqlite3"}},
    REST_FRAMEWORK={
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"] if RATE else [],
        "DEFAULT_THROTTLE_RATES": {"user": RATE},
    },
)
django.setup()

# Django wants its settings before the rest is imported.
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import generics, pagination, parsers, serializers  # noqa: E402
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request):
        keys = request.META.get("HTTP_X_API_ID"), request.META.get("HTTP_X_API_KEY")
        return (SimpleNamespace(is_authenticated=True, pk=keys[0]), keys) if all(keys) else None

    def authenticate_header(self, request):
        return "X-API-KEY"


class HasRightKeys(IsAuthenticated):
    def has_permission(self, request, view):
        return super().has_permission(request, view) and request.auth == (API_ID, API_KEY)


class WithKeys:
    authentication_classes = (KeyAuthentication,)
    permission_classes = (HasRightKeys,)


class Creator(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    gender = models.CharField(max_length=2, choices=[("m", "M"), ("f", "F"), ("nb", "NB")])
    creator_name = models.CharField(max_length=255)
    video_scene = models.CharField(max_length=255, null=True)
    keywords = models.CharField(max_length=255, null=True)
    labels = models.JSONField(default=list)
    webhook_url = models.URLField(null=True)
    gdown_url = models.URLField(null=True)
    lipsync_input = models.FileField(null=True)
    consent_video = models.FileField(null=True)
    lipsync_url = models.TextField(null=True)
    consent_url = models.TextField(null=True)
    process_status = models.CharField(max_length=30, default="pending")
    failed_reason = models.TextField(null=True)
    is_active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "rest_framework"
        db_table = "creator"


SHOWN = ["id", "created_at", "updated_at", "gender", "creator_name", "process_status"]
SHOWN += ["failed_reason", "video_scene", "keywords"]
VIDEO_URL = {"required": False, "allow_null": True, "max_length": 2048}


class ReadSerializer(serializers.ModelSerializer):
    class Meta:
        model = Creator
        fields = (*SHOWN, "is_active")


class FilesSerializer(serializers.ModelSerializer):
    labels = serializers.ListField(child=serializers.CharField(), required=False)

    class Meta:
        model = Creator
        fields = (*SHOWN, "labels", "webhook_url", "gdown_url", "lipsync_input", "consent_video")
        read_only_fields = ("process_status", "failed_reason")


class UrlsSerializer(FilesSerializer):
    lipsync_input = serializers.URLField(source="lipsync_url", **VIDEO_URL)
    consent_video = serializers.URLField(source="consent_url", **VIDEO_URL)


class FromFiles(WithKeys, generics.ListCreateAPIView):
    queryset = Creator.objects.order_by("-created_at")
    create_serializer = FilesSerializer

    def get_serializer_class(self):
        return self.create_serializer if self.request.method == "POST" else ReadSerializer


class FromUrls(FromFiles):
    parser_classes = (parsers.JSONParser,)
    create_serializer = UrlsSerializer


class Pages(pagination.PageNumberPagination):
    page_size = 10
    page_size_query_param = "page_size"


class Paginated(WithKeys, generics.ListAPIView):
    queryset = Creator.objects.order_by("-created_at")
    serializer_class = ReadSerializer
    pagination_class = Pages


class ById(WithKeys, generics.RetrieveDestroyAPIView):
    queryset = Creator.objects.all()
    serializer_class = ReadSerializer


class Count(WithKeys, generics.GenericAPIView):
    def get(self, request):
        return Response({"max_count": 50, "current_count": Creator.objects.count()})


urlpatterns = [
    path("api/personas_v2/", FromFiles.as_view()),
    path("api/personas_v2/count/", Count.as_view()),
    path("api/personas/", FromUrls.as_view()),
    path("api/personas/paginated/", Paginated.as_view()),
    path("api/personas/<uuid:pk>/", ById.as_view()),
]

if Creator._meta.db_table not in connection.introspection.table_names():
    with connection.schema_editor() as editor:
        editor.create_model(Creator)

application = get_wsgi_application()
