# The worker. docs/deploy.md tells how to run it: state and settings on volumes, keys from the environment.
FROM python:3.11-slim-bookworm AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /tmp/requirements.txt
# All but one of the pinned packages come as wheels, and that one is plain Python: no compiler is needed.
RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r /tmp/requirements.txt

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/copytrade --shell /usr/sbin/nologin copytrade \
 && install -d -o copytrade -g copytrade -m 0700 /var/lib/copytrade \
 && install -d -o copytrade -g copytrade -m 0755 /etc/copytrade
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY run_master.py ./
COPY copytrade ./copytrade
COPY deploy/healthcheck.py ./deploy/healthcheck.py
COPY --chown=copytrade:copytrade config /etc/copytrade
RUN python -m compileall -q copytrade
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# The worker ends by itself within ten seconds of it; docker stop allows ten, compose and docs/deploy.md allow thirty.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s --retries=3 \
  CMD ["python", "/app/deploy/healthcheck.py", "/var/lib/copytrade"]
ENTRYPOINT ["python", "run_master.py"]
CMD ["--config", "/etc/copytrade/copytrade.yaml", "--users", "/etc/copytrade/users", "--state", "/var/lib/copytrade"]
