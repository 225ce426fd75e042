FROM python:3
USER 0

# the experiment runs without root's rights, and may write to its home and its working folder
RUN mkdir -p /home/mrunner /experiment && chown 1000:1000 /home/mrunner /experiment
# the user id has no entry in /etc/passwd: programs that ask for a name find it in USER
ENV HOME=/home/mrunner USER=mrunner PYTHONUNBUFFERED=1
WORKDIR /experiment
COPY --chown=1000:1000 code/ ./
USER 1000:1000
