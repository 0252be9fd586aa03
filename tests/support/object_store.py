"""Buckets of moto's S3 server, as another client than this package sees them."""

from __future__ import annotations

from typing import Any

_REGION = "us-east-1"
_KEY = "testing"


def s3_connection(endpoint: str) -> dict[str, Any]:
    """The Airflow connection to the server."""
    extra = {"region_name": _REGION, "endpoint_url": endpoint}
    return {"conn_type": "aws", "login": _KEY, "password": _KEY, "extra": extra}


class Bucket:
    """A new bucket."""

    def __init__(self, endpoint: str, name: str) -> None:
        import boto3

        self.name = name
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=_REGION,
            aws_access_key_id=_KEY,
            aws_secret_access_key=_KEY,
        )
        self.client.create_bucket(Bucket=name)

    @property
    def path(self) -> str:
        """The URL of the object that most tests are about."""
        return f"s3://{self.name}/koreai/utterances.csv"

    def put(self, data: bytes) -> None:
        """Store that object."""
        self.client.put_object(Bucket=self.name, Key="koreai/utterances.csv", Body=data)

    def get(self, key: str = "koreai/utterances.csv") -> bytes:
        """The content of an object."""
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of its objects, at most 1,000."""
        answer = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for each in answer.get("Contents", [])]

    def uploads(self, prefix: str = "") -> list[str]:
        """The keys of the uploads that were neither completed nor aborted."""
        answer = self.client.list_multipart_uploads(Bucket=self.name)
        return [each["Key"] for each in answer.get("Uploads", []) if each["Key"].startswith(prefix)]
