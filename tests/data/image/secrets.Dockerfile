FROM python:3
USER 0

# before the code, so that a changed script does not install them again
COPY requirements/ /tmp/mrunner-requirements/
# build arguments reach pip as its settings, are no part of the image, and are ignored by a pip that is too old
ARG PIP_BREAK_SYSTEM_PACKAGES=1
ARG PIP_CACHE_DIR=/root/.cache/pip
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
ARG PIP_ROOT_USER_ACTION=ignore
RUN --mount=type=secret,id=INDEX_TOKEN,required=true --mount=type=secret,id=OTHER,required=true --mount=type=cache,target=/root/.cache/pip ["sh", "-c", "export INDEX_TOKEN=\"$(cat /run/secrets/INDEX_TOKEN)\"; export OTHER=\"$(cat /run/secrets/OTHER)\"; exec \"$@\"", "sh", "python", "-m", "pip", "install", "--no-warn-script-location", "-r", "/tmp/mrunner-requirements/requirements.txt"]

# the experiment runs without root's rights, and may write to its home and its working folder
RUN mkdir -p /home/mrunner /experiment && chown 1000:1000 /home/mrunner /experiment
# the user id has no entry in /etc/passwd: programs that ask for a name find it in USER
ENV HOME=/home/mrunner USER=mrunner PYTHONUNBUFFERED=1
WORKDIR /experiment
COPY --chown=1000:1000 code/ ./
USER 1000:1000
