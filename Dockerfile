# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/lectern \
    && /opt/lectern/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY setup.cfg pyproject.toml MANIFEST.in README.md wsgi.py ./
COPY app ./app
RUN /opt/lectern/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home lectern \
    && install -d -o lectern -g lectern -m 0700 /state
COPY --from=build /opt/lectern /opt/lectern
COPY gunicorn.conf.py wsgi.py /srv/lectern/
ENV PATH=/opt/lectern/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    LECTERN_ROOT=/repo \
    LECTERN_STATE_DIR=/state
WORKDIR /srv/lectern
USER lectern
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/healthz', timeout=2)"]
CMD ["gunicorn", "wsgi:app"]
