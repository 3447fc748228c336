# Read by `gunicorn wsgi:app` when started here; `--bind` and `--workers` override it.
from app.server import deployment

globals().update(deployment())
