"""What Secrets of a service account give to the storage initializer (reference of the KServe control plane, 3.8)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from inference_objects import Shelf, config_map
from mizzen.apis.core import POD
from mizzen.control.inference.admission import ADMITTERS
from mizzen.control.inference.config import Config, parse_config
from mizzen.control.inference.credentials import Credentials, CredentialsError, credentials
from mizzen.control.inference.storage import SOURCE_ANNOTATION, with_model
from mizzen.kube.admission import AdmissionRequest

PODS = ADMITTERS[-1]
NAMED = "serving.kserve.io/storageSecretName"


def secret(name: str = "keys", annotations: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    encoded = {key.replace("__", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": "default"}
    return {
        "kind": "Secret",
        "metadata": metadata
        | {"annotations": {f"serving.kserve.io/{key}": value for key, value in (annotations or {}).items()}},
        "data": encoded,
    }


def account(*secrets: str, name: str = "default", **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    return {"kind": "ServiceAccount", "metadata": metadata, "secrets": [{"name": one} for one in secrets]}


def pod(annotations: dict[str, str] | None = None, uri: str = "s3://b/m", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "p",
            "labels": {"serving.kserve.io/inferenceservice": "iris"},
            "annotations": {SOURCE_ANNOTATION: uri} | (annotations or {}),
        },
        "spec": {"containers": [{"name": "kserve-container", "image": "i"}]} | spec,
    }


def granted(*secrets: dict[str, Any], config: Config | None = None) -> Credentials:
    shelf = Shelf(account(*(one["metadata"]["name"] for one in secrets)), *secrets)
    return credentials(pod(), "default", config or Config(), shelf)


def of(found: Credentials) -> dict[str, str]:
    """The variables as text; one that refers to a Secret as ``name/key``."""
    told = {}
    for name, entry in found.env.items():
        assert entry["name"] == name
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        told[name] = f"{reference['name']}/{reference['key']}" if reference else entry["value"]
    return told


S3 = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "S3cr3t"}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            secret(**S3),
            {"AWS_ACCESS_KEY_ID": "keys/AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "keys/AWS_SECRET_ACCESS_KEY"},
        ),
        (
            secret(awsAccessKeyID="id", awsSecretAccessKey="S3cr3t"),
            {"AWS_ACCESS_KEY_ID": "keys/awsAccessKeyID", "AWS_SECRET_ACCESS_KEY": "keys/awsSecretAccessKey"},
        ),
        (
            secret(
                AZURE_CLIENT_ID="c", AZURE_CLIENT_SECRET="S3cr3t", AZURE_TENANT_ID="t", AZURE_STORAGE_ACCESS_KEY="k"
            ),
            {
                name: f"keys/{name}"
                for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_STORAGE_ACCESS_KEY")
            },
        ),
        (
            secret(AZ_CLIENT_ID="c", AZ_CLIENT_SECRET="S3cr3t", AZ_TENANT_ID="t", AZ_SUBSCRIPTION_ID="s"),
            {
                f"AZURE_{name}": f"keys/AZ_{name}"
                for name in ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "SUBSCRIPTION_ID")
            },
        ),
        (secret(AZURE_STORAGE_ACCESS_KEY="S3cr3t"), {"AZURE_STORAGE_ACCESS_KEY": "keys/AZURE_STORAGE_ACCESS_KEY"}),
        (
            secret(https__host="models.example.com", headers='{"Authorization": "S3cr3t"}'),
            {"models.example.com-headers": "keys/headers"},
        ),
        (secret(HF_TOKEN="S3cr3t"), {"HF_TOKEN": "keys/HF_TOKEN"}),
        (secret(password="S3cr3t"), {}),
        (secret(https__host="models.example.com"), {}),
        ({"kind": "Secret", "metadata": {"name": "keys", "namespace": "default"}}, {}),
    ],
)
def test_a_secret_is_told_by_its_keys_and_its_values_stay_in_it(found, told):
    given = granted(found)
    assert of(given) == told
    assert (given.volumes, given.mounts) == ([], [])
    assert "S3cr3t" not in str(given.env)


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        (
            {"s3-endpoint": "minio:9000", "s3-usehttps": "0"},
            {"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0", "AWS_ENDPOINT_URL": "http://minio:9000"},
        ),
        (
            {"s3-endpoint": "minio:9000"},
            {"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "1", "AWS_ENDPOINT_URL": "https://minio:9000"},
        ),
        (
            {"s3-endpoint": "http://minio:9000", "s3-usehttps": "1"},
            {"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0", "AWS_ENDPOINT_URL": "http://minio:9000"},
        ),
        (
            {
                "s3-region": "eu-west-1",
                "s3-verifyssl": "0",
                "s3-usevirtualbucket": "true",
                "s3-useaccelerate": "true",
                "s3-useanoncredential": "true",
            },
            {
                "AWS_DEFAULT_REGION": "eu-west-1",
                "S3_VERIFY_SSL": "0",
                "S3_USER_VIRTUAL_BUCKET": "true",
                "S3_USE_ACCELERATE": "true",
                "awsAnonymousCredential": "true",
            },
        ),
        ({"s3-usehttps": "0"}, {}),
    ],
)
def test_annotations_say_how_s3_is_asked(annotations, told):
    found = of(granted(secret(annotations=annotations, **S3)))
    assert {name: value for name, value in found.items() if not value.startswith("keys/")} == told


def test_the_secrets_own_keys_come_after_its_annotations_and_before_the_config_map():
    config = parse_config({"credentials": '{"s3": {"s3Region": "c", "s3Endpoint": "c:1", "s3VerifySSL": "0"}}'})
    found = of(granted(secret(annotations={"s3-region": "a"}, AWS_DEFAULT_REGION="b", **S3), config=config))
    assert (found["AWS_DEFAULT_REGION"], found["S3_VERIFY_SSL"]) == ("a", "0")
    assert found["AWS_ENDPOINT_URL"] == "https://c:1"
    found = of(granted(secret(AWS_DEFAULT_REGION="b", AWS_ENDPOINT_URL="http://b:1", **S3), config=config))
    assert (found["AWS_DEFAULT_REGION"], found["AWS_ENDPOINT_URL"]) == ("b", "https://c:1")
    found = of(granted(secret(AWS_ENDPOINT_URL="http://b:1", **S3)))
    assert found["AWS_ENDPOINT_URL"] == "http://b:1"


def test_the_config_map_says_what_keys_are_called():
    names = '{"s3": {"s3AccessKeyIDName": "id", "s3SecretAccessKeyName": "key"}, "gcs": {"gcsCredentialFileName": "g"}}'
    config = parse_config({"credentials": names})
    found = of(granted(secret(id="i", key="k"), config=config))
    assert found == {"AWS_ACCESS_KEY_ID": "keys/id", "AWS_SECRET_ACCESS_KEY": "keys/key"}
    assert of(granted(secret(**S3), config=config)) == {}
    assert of(granted(secret(g="{}"), config=config)) == {"GOOGLE_APPLICATION_CREDENTIALS": "/var/secrets/g"}


def test_googles_file_is_mounted():
    found = granted(secret(**{"gcloud-application-credentials.json": "{}"}))
    assert of(found) == {"GOOGLE_APPLICATION_CREDENTIALS": "/var/secrets/gcloud-application-credentials.json"}
    made = with_model(pod(uri="gs://b/m"), Config(), found)["spec"]
    initializer = made["initContainers"][0]
    assert initializer["volumeMounts"][1] == {"name": "user-gcp-sa", "mountPath": "/var/secrets/", "readOnly": True}
    assert {"name": "user-gcp-sa", "secret": {"secretName": "keys"}} in made["volumes"]
    # The server itself has no business with it.
    assert [mount["name"] for mount in made["containers"][0]["volumeMounts"]] == ["kserve-provision-location"]


def test_authorities_of_an_s3_are_mounted():
    annotations = {"s3-cabundle-configmap": "authorities", "s3-cabundle": "/certs/cabundle.crt"}
    found = granted(secret(annotations=annotations, **S3))
    assert of(found)["AWS_CA_BUNDLE"] == "/certs/cabundle.crt"
    assert of(found)["CA_BUNDLE_VOLUME_MOUNT_POINT"] == "/certs"
    assert found.volumes == [{"name": "cabundle-cert", "configMap": {"name": "authorities"}}]
    assert found.mounts == [{"name": "cabundle-cert", "mountPath": "/certs", "readOnly": True}]
    found = granted(secret(annotations={"s3-cabundle-configmap": "authorities"}, **S3))
    assert found.mounts[0]["mountPath"] == "/etc/ssl/custom-certs"


def test_several_secrets_are_taken_together():
    keys, token, google = (
        secret("keys", **S3),
        secret("token", HF_TOKEN="t"),
        secret("google", **{"gcloud-application-credentials.json": "{}"}),
    )
    found = granted(keys, token, google)
    assert of(found).keys() == {*S3, "HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"}
    assert len(found.volumes) == len(found.mounts) == 1


def test_whose_secrets():
    shelf = Shelf(account(), account("keys", name="reader"), secret(**S3), secret("other", HF_TOKEN="t"))
    assert of(credentials(pod(), "default", Config(), shelf)) == {}
    assert of(credentials(pod(serviceAccountName="reader"), "default", Config(), shelf)).keys() == S3.keys()
    assert of(credentials(pod(serviceAccountName="nobody"), "default", Config(), shelf)) == {}
    assert of(credentials(pod(serviceAccountName="reader"), "elsewhere", Config(), shelf)) == {}
    # An annotation names the one Secret that is meant.
    named = pod({NAMED: "other"}, serviceAccountName="reader")
    assert of(credentials(named, "default", Config(), shelf)) == {"HF_TOKEN": "other/HF_TOKEN"}


def test_a_secret_of_the_account_that_is_not_there_is_passed_over_and_a_named_one_is_missed():
    shelf = Shelf(account("gone", "keys"), secret(**S3))
    assert of(credentials(pod(), "default", Config(), shelf)).keys() == S3.keys()
    with pytest.raises(CredentialsError, match=r"storageSecretName\] names the Secret 'gone'"):
        credentials(pod({NAMED: "gone"}), "default", Config(), shelf)


def test_a_role_of_the_account_is_told_how_s3_is_asked():
    annotations = {"eks.amazonaws.com/role-arn": "arn:x", "serving.kserve.io/s3-region": "eu-west-1"}
    shelf = Shelf(account(**annotations))
    assert of(credentials(pod(), "default", Config(), shelf)) == {"AWS_DEFAULT_REGION": "eu-west-1"}


def test_what_is_no_text_where_it_has_to_be():
    broken = secret(https__host="x", headers="{}")
    broken["data"]["https-host"] = "no base64!"
    with pytest.raises(CredentialsError, match="Secret 'keys', key https-host"):
        granted(broken)


def admit(found: dict[str, Any], *shelf: dict[str, Any]) -> Any:
    request = AdmissionRequest(operation="CREATE", resource=POD, namespace="default", name="p", object=found)
    return PODS.admit(request, Shelf(config_map(), *shelf))


def test_a_pod_is_given_its_accounts_credentials_when_it_is_admitted():
    response = admit(pod(), account("keys"), secret(annotations={"s3-region": "eu-west-1"}, **S3))
    assert response.object is not None
    initializer = response.object["spec"]["initContainers"][0]
    assert [entry["name"] for entry in initializer["env"]] == [*S3, "AWS_DEFAULT_REGION"]
    assert "env" not in response.object["spec"]["containers"][0]
    again = admit(response.object, account("keys"), secret(**S3))
    assert again.allowed and again.object is None


def test_a_pod_without_credentials_has_no_variables():
    assert "env" not in admit(pod()).object["spec"]["initContainers"][0]


def test_a_claim_needs_none():
    made = admit(pod(uri="pvc://claim/m"), account("keys"), secret(**{"gcloud-application-credentials.json": "{}"}))
    assert [volume["name"] for volume in made.object["spec"]["volumes"]] == ["kserve-pvc-source"]


def test_a_pod_whose_named_secret_is_missing_is_refused_in_words():
    response = admit(pod({NAMED: "gone"}))
    assert not response.allowed
    assert "names the Secret 'gone', and there is none in default" in response.message
