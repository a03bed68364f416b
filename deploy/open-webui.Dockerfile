# Open WebUI with the package that brings its events to roomcast; nothing of its own is changed.
FROM ghcr.io/open-webui/open-webui:v0.6.41
COPY server/python /opt/roomcast
RUN pip install --no-cache-dir /opt/roomcast
