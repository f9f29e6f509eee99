# The servers of AXL in one small image: they complete, serve and index, and need no PyTorch.
#
#   docker build -t axl .                              # what docker-compose.yml runs
#   docker build -t axl-train --build-arg EXTRAS='[train,vision]' .
#
# It runs as a user of its own, with a read-only root where that is asked for: all it writes is in /var/lib/axl and /tmp.
ARG PYTHON=3.11-slim-bookworm
FROM python:${PYTHON} AS build
ARG EXTRAS="[vision]"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN python -m venv /opt/axl \
    && /opt/axl/bin/pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
       --constraint constraints.txt ".${EXTRAS}"
# Compiled here and kept in the installation: no container waits for it, unless its CPU is another kind than the builder's.
RUN /opt/axl/bin/axl compile

FROM python:${PYTHON}
RUN useradd --system --uid 10001 --home-dir /var/lib/axl --create-home --shell /usr/sbin/nologin axl
COPY --from=build /opt/axl /opt/axl
ENV PATH=/opt/axl/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/var/lib/axl/cache \
    XDG_DATA_HOME=/var/lib/axl/data \
    AXL_PORT=8880
USER 10001:10001
WORKDIR /var/lib/axl
VOLUME ["/var/lib/axl"]
EXPOSE 8880 8900 8901 8902 8903
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['AXL_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["axl"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8880"]
