# plainspeech serve in a container, as a user without rights:
#   docker build -t plainspeech .
#   docker run --rm --read-only --tmpfs /tmp --tmpfs /home/plainspeech:uid=1000 \
#       -p 127.0.0.1:8000:8000 -e PLAINSPEECH_TOKEN plainspeech
# The search is compiled for the machine at the start; a volume at /home/plainspeech keeps the result.
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
COPY constraints.txt /
COPY --from=build /wheels /wheels
RUN set -- /wheels/*.whl \
    && pip install --no-cache-dir -c /constraints.txt "$1[serve]" \
    && useradd --create-home --uid 1000 plainspeech
USER 1000
WORKDIR /home/plainspeech
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["plainspeech", "serve", "--host", "0.0.0.0"]
