# An MLflow server for PostgreSQL and S3, with the versions of requirements.lock and requirements-services.lock.
FROM python:3.11-slim-bookworm
RUN pip install --no-cache-dir mlflow==3.17.2 psycopg2-binary==2.9.13 boto3==1.43.117 \
 && useradd --create-home --uid 1000 mlflow
USER 1000:1000
WORKDIR /home/mlflow
