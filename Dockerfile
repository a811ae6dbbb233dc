FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/refunds
COPY requirements.lock requirements-dev.lock ./
RUN /opt/refunds/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
# what builds our own wheel: the locked version, by hash, and not in the image
RUN python -m venv /opt/build \
    && sed -n '/^setuptools==/,/^[a-z]/{/^setuptools==/p;/^    --hash/p}' requirements-dev.lock > build.lock \
    && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r build.lock
COPY pyproject.toml README.md celeryconfig.py ./
COPY policy policy
COPY worker worker
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/refunds/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
    && /opt/refunds/bin/pip uninstall --yes --quiet pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home refunds && install -d -o refunds -m 700 /var/lib/refunds /var/lib/refunds-journal
COPY --from=build /opt/refunds /opt/refunds
ENV PATH=/opt/refunds/bin:$PATH PYTHONUNBUFFERED=1 REFUNDS_LOG_FORMAT=json
USER refunds
WORKDIR /home/refunds
# a warm shutdown: what runs is finished, what waits stays queued. Give it 125 s
STOPSIGNAL SIGTERM
CMD ["refunds", "worker"]
