# syntax=docker/dockerfile:1
# The lab's image: Airflow, the course and the wheel of this project. See docs/cluster.md.

FROM python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /build
# The pinned set changes less often than the project: it has a layer of its own.
COPY constraints.txt ./
RUN pip install --no-deps --require-hashes -r constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY plugins/backpressure plugins/backpressure
COPY src src
RUN python -m build --wheel --no-isolation --outdir /wheels . && pip install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim-bookworm

RUN groupadd --gid 50000 lab && useradd --uid 50000 --gid lab --home-dir /var/lib/lab --no-create-home lab \
    && install --directory --owner=lab --group=lab --mode=0700 /var/lib/lab /var/lib/lab/airflow /var/lib/lab/task-logs \
    && install --directory --owner=lab --group=lab /opt/lab/work /opt/lab/plugins
COPY --from=build /opt/venv /opt/venv
COPY course.toml /opt/lab/course.toml
COPY dags /opt/lab/dags
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AIRFLOW_HOME=/var/lib/lab/airflow LAB_ROOT=/opt/lab
USER lab
WORKDIR /var/lib/lab
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "backpressure_lab.cluster.healthy", "metadatabase"]
CMD ["airflow", "version"]
