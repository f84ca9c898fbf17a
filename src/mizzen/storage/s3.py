"""Models in S3, and in everything that speaks its protocol: ``s3://bucket/path``.

The library is boto3, for its many ways to find credentials and to address a bucket. It lists and it opens streams; what
is done with the bytes is done as for every other source. Its own attempts are turned off, so that there is one rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mizzen.storage.delivery import deliver
from mizzen.storage.errors import StorageError, TransientError
from mizzen.storage.extras import required
from mizzen.storage.failures import Failures
from mizzen.storage.objects import Object, Place, model_at, place_of
from mizzen.storage.provider import Fetched, Order
from mizzen.storage.settings import authorities, flag, number, seconds, stall, with_storage_spec
from mizzen.storage.source import Changed, Remote, Source
from mizzen.storage.uris import one_line

_CHUNK = 256 << 10
_HASH = 32
# An object's ETag is the MD5 of its contents unless a key of a service encrypts it, or it lies in a directory bucket.
_SEALED = ("aws:kms", "aws:kms:dsse")
_DIRECTORY_BUCKET = "--x-s3"
_BAD_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
    | {"AuthFailure", "InvalidSecurity", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "UnauthorizedAccess"}
)
_FAILURES = Failures(
    "S3",
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or wherever the AWS tools look; awsAnonymousCredential=true asks "
    "without",
)


def fetch(order: Order) -> Fetched:
    """Download the object or all objects below the path; an archive that is alone is unpacked."""
    environ = with_storage_spec(order.environ, "s3")
    return deliver(_S3(place_of(order.uri, "s3://bucket/path"), environ), order)


class _S3(Source):
    parts_at_once = 4

    def __init__(self, place: Place, environ: Mapping[str, str]) -> None:
        self._place = place
        self._anonymous = flag(environ, "awsAnonymousCredential")
        self.files_at_once = number(environ, "S3_MAX_FILE_CONCURRENCY", 4, least=1)
        self.attempts = number(environ, "S3_MAX_ATTEMPTS", 3, least=1)
        self._client = _client(environ, self._anonymous)
        self._endpoint = str(self._client.meta.endpoint_url)
        self.identity = f"s3 {self._endpoint} {place}"
        self.label = f"s3://{place}"
        self._sealed: set[str] = set()

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        return model_at(self._place.path, self._under, self._exactly)

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        if stop is not None and stop <= start:
            return
        asked: dict[str, str] = {"IfMatch": remote.version}
        if start or stop != remote.size:
            asked["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with self._translated(remote.key):
            answer = self._client.get_object(Bucket=self._place.bucket, Key=remote.key, **asked)
            with closing(answer["Body"]) as body:
                if answer.get("ServerSideEncryption") in _SEALED or answer.get("SSECustomerAlgorithm"):
                    self._sealed.add(remote.key)
                expected = (remote.size or 0 if stop is None else stop) - start
                if answer["ContentLength"] != expected:
                    came = answer["ContentLength"]
                    raise Changed(f"{came} bytes of {remote.path} were sent, and the list promised {expected}")
                while chunk := body.read(_CHUNK):
                    yield chunk

    def digest(self, remote: Remote) -> str:
        return "" if remote.key in self._sealed else remote.digest

    def close(self) -> None:
        self._client.close()

    def _under(self, prefix: str) -> Iterator[Object]:
        with self._translated(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._place.bucket, Prefix=prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield self._object(found["Key"], found["Size"], found["ETag"])

    def _exactly(self, key: str) -> Object | None:
        from botocore.exceptions import ClientError

        try:
            with self._reaching(key):
                found = self._client.head_object(Bucket=self._place.bucket, Key=key)
        except ClientError as error:
            # The answer to a HEAD has no words, and 403 where there is nothing for who may not list. If something is
            # wrong, the list says so.
            if _status(error) >= 500:
                raise self._refused(error, key) from None
            return None
        return self._object(key, found["ContentLength"], found["ETag"])

    def _object(self, key: str, size: int, etag: str) -> Object:
        bare = etag.strip('"').lower()
        is_hash = len(bare) == _HASH and not bare.strip("0123456789abcdef")
        hashed = is_hash and not self._place.bucket.endswith(_DIRECTORY_BUCKET)
        return Object(key, size, etag, f"md5:{bare}" if hashed else "")

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        from botocore.exceptions import ClientError

        try:
            with self._reaching(key):
                yield
        except ClientError as error:
            raise self._refused(error, key) from None

    @contextmanager
    def _reaching(self, key: str) -> Iterator[None]:
        """Turn what the library raises, but for refusals of the service, into sentences."""
        from botocore import exceptions as boto

        try:
            yield
        except boto.ClientError:
            raise
        except (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.TokenRetrievalError,
            boto.SSOError,
        ) as error:
            raise _FAILURES.authentication(_words(error)) from None
        except boto.SSLError:
            raise StorageError(
                f"Failed to connect to S3 endpoint '{self._endpoint}': its certificate is not trusted; authorities are "
                "added with AWS_CA_BUNDLE or CA_BUNDLE_CONFIGMAP_NAME"
            ) from None
        except boto.ReadTimeoutError:
            raise TransientError(f"S3 endpoint '{self._endpoint}' stopped answering") from None
        except (boto.ConnectionError, boto.ConnectTimeoutError, boto.EndpointConnectionError) as error:
            why = "it does not answer" if isinstance(error, boto.ConnectTimeoutError) else ""
            raise _FAILURES.unreachable(self._endpoint, why) from None
        except (boto.HTTPClientError, boto.ResponseStreamingError, boto.IncompleteReadError):
            raise TransientError(f"the transfer of {key or self._place.bucket} was cut off") from None
        except boto.FlexibleChecksumError:
            raise TransientError(f"{key} did not come as S3 has it: its check sum differs") from None
        except boto.BotoCoreError as error:
            raise _FAILURES.other(_words(error)) from None

    def _refused(self, error: Any, key: str) -> StorageError:
        """What the service said, as a sentence. Its own words stay away where they quote the request's signature."""
        code, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
        what = f"{self._place.bucket}/{key}" if key else self._place.bucket
        if code == "NoSuchBucket":
            return StorageError(f"S3 bucket '{self._place.bucket}' does not exist.")
        if code in _BAD_CREDENTIALS:
            return StorageError(f"Invalid AWS credentials ({code}). {_FAILURES.authentication()}")
        if status in (412, 416):
            return Changed(f"{what} changed while it was downloaded")
        if code in ("NoSuchKey", "NoSuchVersion", "404") or status == 404:
            return _FAILURES.not_found(what)
        if code in ("AccessDenied", "AllAccessDisabled", "403") or status == 403:
            return _FAILURES.denied(what, anonymous=self._anonymous)
        if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout", "InternalError"):
            return _FAILURES.busy(f"{status} {code}" if code and code != str(status) else status)
        return StorageError(f"S3 error [{code or status}]: {one_line(str(error.response['Error'].get('Message', '')))}")


def _client(environ: Mapping[str, str], anonymous: bool) -> Any:
    required("s3", "s3://", "boto3")
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None
    region = environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or None
    style = "virtual" if flag(environ, "S3_USER_VIRTUAL_BUCKET") or _is_global(endpoint, region) else "auto"
    config = Config(
        connect_timeout=seconds(environ, "S3_CONNECT_TIMEOUT", 15.0),
        read_timeout=seconds(environ, "S3_READ_TIMEOUT", stall(environ)),
        retries={"total_max_attempts": 1},
        max_pool_connections=64,
        s3={"addressing_style": style, "use_accelerate_endpoint": flag(environ, "S3_USE_ACCELERATE")},
        **({"signature_version": UNSIGNED} if anonymous else {}),
    )
    verify = authorities(environ, "AWS_CA_BUNDLE") if flag(environ, "S3_VERIFY_SSL", default=True) else False
    keys = {
        "aws_access_key_id": environ.get("AWS_ACCESS_KEY_ID") or None,
        "aws_secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY") or None,
        "aws_session_token": environ.get("AWS_SESSION_TOKEN") or None,
    }
    try:
        return boto3.client(
            "s3", endpoint_url=endpoint, region_name=region or "us-east-1", verify=verify, config=config, **keys
        )
    except ValueError:
        raise StorageError("AWS_ENDPOINT_URL must be an address such as https://minio.example:9000") from None
    except BotoCoreError as error:
        raise _FAILURES.authentication(_words(error)) from None


def _is_global(endpoint: str | None, region: str | None) -> bool:
    """Whether a bucket of another region is looked for at the one address that finds it only by a name of its own."""
    host = urlsplit(endpoint).hostname if endpoint else None
    return host == "s3.amazonaws.com" and region not in (None, "us-east-1")


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _words(error: Exception) -> str:
    return one_line(str(error)).rstrip(".")
