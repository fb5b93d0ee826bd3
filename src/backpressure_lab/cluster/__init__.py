"""The same pack on a Celery cluster: ``docker-compose.yml``, derived from the lab's settings and the manifest."""
