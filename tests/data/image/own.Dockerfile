FROM python:3 AS base
RUN echo no requirements
COPY --chown=1000:1000 code/ /srv/
WORKDIR /srv
